// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { TestUSD } from "../../src/testing/TestUSD.sol";

/// @title A token that says a transfer worked and moves nothing
contract LyingToken is TestUSD("Lying Token", "LIE", 6) {
    function transfer(address, uint256) public pure override returns (bool) {
        return true;
    }
}
