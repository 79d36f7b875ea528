// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A plain ERC-20 for tests and the demo
/// @notice Anyone may mint. Never a real token.
contract TestUSD is ERC20 {
    uint8 private immutable decimals_;

    /// @param name_ The token's name.
    /// @param symbol_ The token's symbol.
    /// @param decimals__ Any number of decimals, to stand in for tokens with 0, 6 or 18.
    constructor(string memory name_, string memory symbol_, uint8 decimals__) ERC20(name_, symbol_) {
        decimals_ = decimals__;
    }

    /// @notice Gives anyone any amount.
    /// @param to Who receives it.
    /// @param amount In the smallest unit.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @inheritdoc ERC20
    function decimals() public view override returns (uint8) {
        return decimals_;
    }
}
