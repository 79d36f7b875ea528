// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { TestUSD } from "../../src/testing/TestUSD.sol";

/// @title A token that takes a fee of one unit on top, so that nobody can ever send a whole balance
contract SurchargeToken is TestUSD("Surcharge Token", "SUR", 6) {
    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(from, address(0), 1);
    }
}
