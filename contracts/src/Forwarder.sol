// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { LowLevelCall } from "@openzeppelin/contracts/utils/LowLevelCall.sol";

/// @title A payment address that can only pay the treasury
/// @notice One copy is deployed by the factory. Every payment address is an EIP-1167 clone of that copy.
/// @dev No storage, no owner, no initialiser: a clone has nothing that anyone could claim.
contract Forwarder {
    address private immutable treasury;
    address private immutable factory;
    address private immutable implementation;

    /// @notice Only the factory may call this.
    error NotFactory();
    /// @notice Native coin was sent to the implementation, from where nobody could move it.
    error NotAPaymentAddress();
    /// @notice The token, or the treasury, did not take the transfer. Nothing moved.
    error Refused();

    /// @param treasury_ Where all money goes.
    constructor(address treasury_) {
        treasury = treasury_;
        factory = msg.sender;
        implementation = address(this);
    }

    /// @notice Takes native coin. It stays here until it is flushed.
    receive() external payable {
        if (address(this) == implementation) revert NotAPaymentAddress();
    }

    /// @notice Moves money from this address to the treasury, or reverts with nothing moved.
    /// @dev Return data of the token and of the treasury is never copied beyond one word.
    /// @param token The ERC-20 token, or 0 for the native coin.
    /// @param amount In the token's smallest unit.
    function sweep(address token, uint256 amount) external {
        if (msg.sender != factory) revert NotFactory();
        bool sent = token == address(0)
            ? LowLevelCall.callNoReturn(treasury, amount, "")
            : SafeERC20.trySafeTransfer(IERC20(token), treasury, amount);
        if (!sent) revert Refused();
    }
}
