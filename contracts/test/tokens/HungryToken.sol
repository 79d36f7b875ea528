// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { TestUSD } from "../../src/testing/TestUSD.sol";

/// @title An honest token whose transfer costs more than a million gas
contract HungryToken is TestUSD("Hungry Token", "HGY", 6) {
    function transfer(address to, uint256 amount) public override returns (bool) {
        uint256 start = gasleft();
        while (start - gasleft() < 1_000_000) { }
        return super.transfer(to, amount);
    }
}
