// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ForwarderFactory } from "../src/ForwarderFactory.sol";
import { TestUSD } from "../src/testing/TestUSD.sol";
import { Bench } from "./Vm.sol";

/// @title What one settled invoice costs, each flush being a transaction of its own
/// @dev The limits are the design's. `forge snapshot` keeps the exact figures.
/// forge-config: default.isolate = true
contract GasTest is Bench {
    ForwarderFactory private factory;
    TestUSD private usd;

    function setUp() public {
        factory = new ForwarderFactory(TREASURY, ANYONE, false);
        usd = new TestUSD("Test USD", "TUSD", 6);
        usd.mint(TREASURY, 1);
        vm.deal(TREASURY, 1);
        for (uint256 count = 1; count <= 100; count *= 10) {
            pay(salts(count));
        }
    }

    function test_an_invoice_flushed_alone() public {
        vm.assertLe(gasPerInvoice(1, address(usd)), 83_792);
    }

    function test_an_invoice_flushed_in_tens() public {
        vm.assertLe(gasPerInvoice(10, address(usd)), 54_947);
    }

    function test_an_invoice_flushed_in_hundreds() public {
        vm.assertLe(gasPerInvoice(100, address(usd)), 52_062);
    }

    function test_native_coin_flushed_in_hundreds() public {
        vm.assertLe(gasPerInvoice(100, NATIVE), 55_000);
    }

    function test_a_late_payment_flushed_in_hundreds() public {
        gasPerInvoice(100, address(usd));
        pay(salts(100));
        vm.assertLe(gasPerInvoice(100, address(usd)), 13_000);
    }

    function test_an_empty_address_skipped_in_hundreds() public {
        vm.assertLe(gasPerInvoice(100, address(new TestUSD("Other", "O", 6))), 6_200);
    }

    function gasPerInvoice(uint256 count, address token) private returns (uint256) {
        factory.flush(salts(count), token);
        return vm.lastCallGas().gasTotalUsed / count;
    }

    function pay(bytes32[] memory batch_) private {
        for (uint256 i = 0; i < batch_.length; ++i) {
            usd.mint(factory.addressOf(batch_[i]), 25_000_000);
            vm.deal(factory.addressOf(batch_[i]), 1_000_000);
        }
    }

    function salts(uint256 count) private pure returns (bytes32[] memory) {
        return batch(count, bytes32(count));
    }
}
