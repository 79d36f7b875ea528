// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { TestUSD } from "../../src/testing/TestUSD.sol";

/// @title A token whose issuer freezes addresses, as USDC's and USDT's do
contract BlacklistToken is TestUSD("Blacklist Token", "BLK", 6) {
    mapping(address who => bool frozen) public frozen;

    error Frozen();

    function freeze(address who, bool frozen_) external {
        frozen[who] = frozen_;
    }

    function _update(address from, address to, uint256 value) internal override {
        if (from != address(0) && (frozen[from] || frozen[to])) revert Frozen();
        super._update(from, to, value);
    }
}
