// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Forwarder } from "../src/Forwarder.sol";
import { ForwarderFactory } from "../src/ForwarderFactory.sol";
import { Bench } from "./Vm.sol";

contract ForwarderTest is Bench {
    bytes32 private constant SALT = "invoice";
    ForwarderFactory private factory;
    Forwarder private implementation;
    Forwarder private clone;

    function setUp() public {
        factory = new ForwarderFactory(TREASURY, ANYONE, false);
        implementation = Forwarder(payable(factory.implementation()));
        clone = Forwarder(payable(factory.addressOf(SALT)));
        vm.deal(address(clone), 1);
        factory.flush(one(SALT), NATIVE);
        vm.deal(address(this), 100);
    }

    function test_only_the_factory_may_sweep_a_clone() public {
        vm.deal(address(clone), 5);
        address[3] memory callers = [address(this), TREASURY, address(implementation)];
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.prank(callers[i]);
            vm.expectRevert(Forwarder.NotFactory.selector);
            clone.sweep(NATIVE, 5);
        }
        vm.assertEq(address(clone).balance, 5);
    }

    function test_only_the_factory_may_sweep_the_implementation() public {
        vm.expectRevert(Forwarder.NotFactory.selector);
        implementation.sweep(NATIVE, 0);
    }

    function test_the_implementation_refuses_native_coin() public {
        (bool sent, bytes memory answer) = address(implementation).call{ value: 1 }("");
        vm.assertFalse(sent);
        vm.assertEq(answer, abi.encodePacked(Forwarder.NotAPaymentAddress.selector));
    }

    function test_the_factory_refuses_native_coin() public {
        (bool sent,) = address(factory).call{ value: 1 }("");
        vm.assertFalse(sent);
    }

    function test_a_sweep_of_more_than_there_is_reverts() public {
        vm.prank(address(factory));
        vm.expectRevert(Forwarder.Refused.selector);
        clone.sweep(NATIVE, 1);
    }

    function test_a_deployed_clone_takes_native_coin_for_less_than_3000_gas() public {
        vm.cool(address(implementation));
        (bool sent,) = address(clone).call{ value: 1, gas: 700 }(""); // and the stipend of 2,300
        vm.assertTrue(sent);
        vm.assertEq(address(clone).balance, 1);
    }

    function test_an_address_that_is_not_deployed_takes_native_coin_with_the_stipend_alone() public {
        vm.assertTrue(payable(factory.addressOf("other")).send(1));
    }

    /// @dev EIP-2929: the call of a cold implementation alone costs 2,600. README names this limit.
    function test_the_stipend_alone_does_not_pay_a_deployed_clone() public {
        vm.cool(address(implementation));
        vm.assertFalse(payable(address(clone)).send(1));
    }

    function test_a_forwarder_answers_to_nothing_else(bytes4 selector, bytes calldata rest) public {
        vm.assume(selector != Forwarder.sweep.selector);
        (bool done,) = address(clone).call{ value: 1 }(abi.encodePacked(selector, rest));
        vm.assertFalse(done);
        (done,) = address(implementation).call(abi.encodePacked(selector, rest));
        vm.assertFalse(done);
    }
}
