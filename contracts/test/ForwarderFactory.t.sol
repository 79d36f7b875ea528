// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ForwarderFactory } from "../src/ForwarderFactory.sol";
import { NoReturnUSD } from "../src/testing/NoReturnUSD.sol";
import { TestUSD } from "../src/testing/TestUSD.sol";
import { Bench, Vm } from "./Vm.sol";
import { HungryToken } from "./tokens/HungryToken.sol";
import { BusyTreasury } from "./treasuries/BusyTreasury.sol";
import { MoodyTreasury } from "./treasuries/MoodyTreasury.sol";

contract ForwarderFactoryTest is Bench {
    bytes32 private constant SALT = "invoice";
    ForwarderFactory private factory;
    TestUSD private usd;

    function setUp() public {
        factory = new ForwarderFactory(TREASURY, ANYONE, false);
        usd = new TestUSD("Test USD", "TUSD", 6);
    }

    // What a factory is

    function test_a_factory_keeps_what_it_was_made_with() public {
        ForwarderFactory other = new ForwarderFactory(address(0xA), address(0xB), true);
        vm.assertEq(other.treasury(), address(0xA));
        vm.assertEq(other.flusher(), address(0xB));
        vm.assertTrue(other.treasuryIsContract());
        vm.assertEq(other.implementation(), firstChild(address(other)));
    }

    function test_a_zero_treasury_is_refused() public {
        vm.expectRevert(ForwarderFactory.ZeroTreasury.selector);
        new ForwarderFactory(address(0), ANYONE, false);
    }

    function test_the_address_computed_is_the_address_deployed() public {
        address computed = factory.addressOf(SALT);
        vm.assertEq(computed, cloneAddress(address(factory), firstChild(address(factory)), SALT));
        vm.assertEq(computed.code.length, 0);
        usd.mint(computed, 1);
        factory.flush(one(SALT), address(usd));
        vm.assertEq(computed.code, cloneCode(factory.implementation()));
    }

    // Who may flush, and when

    function test_only_the_flusher_may_flush() public {
        ForwarderFactory guarded = new ForwarderFactory(TREASURY, address(0xF1), false);
        usd.mint(guarded.addressOf(SALT), 5);
        address[2] memory others = [address(this), TREASURY];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(ForwarderFactory.NotFlusher.selector);
            guarded.flush(one(SALT), address(usd));
        }
        vm.prank(address(0xF1));
        guarded.flush(one(SALT), address(usd));
        vm.assertEq(usd.balanceOf(TREASURY), 5);
    }

    function test_anyone_may_flush_when_the_flusher_is_zero(address caller) public {
        usd.mint(factory.addressOf(SALT), 5);
        vm.prank(caller);
        factory.flush(one(SALT), address(usd));
        vm.assertEq(usd.balanceOf(TREASURY), 5);
    }

    function test_nothing_is_flushed_until_a_contract_treasury_has_code() public {
        ForwarderFactory waiting = new ForwarderFactory(TREASURY, ANYONE, true);
        usd.mint(waiting.addressOf(SALT), 5);
        vm.expectRevert(ForwarderFactory.TreasuryHasNoCode.selector);
        waiting.flush(one(SALT), address(usd));
        vm.expectRevert(ForwarderFactory.TreasuryHasNoCode.selector);
        waiting.flush(one(SALT), NATIVE);
        vm.etch(TREASURY, type(BusyTreasury).runtimeCode);
        waiting.flush(one(SALT), address(usd));
        vm.assertEq(usd.balanceOf(TREASURY), 5);
    }

    // What a flush does

    function test_a_flush_moves_the_whole_balance_to_the_treasury() public {
        usd.mint(factory.addressOf(SALT), 25_000_000);
        expectFlushed(factory, SALT, address(usd), 25_000_000);
        factory.flush(one(SALT), address(usd));
        vm.assertEq(usd.balanceOf(TREASURY), 25_000_000);
        vm.assertEq(usd.balanceOf(factory.addressOf(SALT)), 0);
    }

    function test_a_token_without_return_value_is_flushed() public {
        NoReturnUSD usdt = new NoReturnUSD();
        usdt.mint(factory.addressOf(SALT), 7);
        expectFlushed(factory, SALT, address(usdt), 7);
        factory.flush(one(SALT), address(usdt));
        vm.assertEq(usdt.balanceOf(TREASURY), 7);
    }

    function test_native_coin_paid_before_the_address_is_deployed_is_flushed() public {
        vm.deal(factory.addressOf(SALT), 3);
        expectFlushed(factory, SALT, NATIVE, 3);
        factory.flush(one(SALT), NATIVE);
        vm.assertEq(TREASURY.balance, 3);
    }

    function test_native_coin_reaches_a_treasury_that_needs_more_than_the_stipend() public {
        BusyTreasury busy = new BusyTreasury();
        ForwarderFactory other = new ForwarderFactory(address(busy), ANYONE, true);
        vm.deal(other.addressOf(SALT), 3);
        expectFlushed(other, SALT, NATIVE, 3);
        other.flush(one(SALT), NATIVE);
        vm.assertEq(busy.received(), 3);
    }

    function test_native_coin_that_the_treasury_refuses_stays_until_it_is_taken() public {
        MoodyTreasury moody = new MoodyTreasury();
        ForwarderFactory other = new ForwarderFactory(address(moody), ANYONE, true);
        vm.deal(other.addressOf(SALT), 3);
        expectSkipped(other, SALT, NATIVE, 3, ForwarderFactory.Reason.Refused);
        other.flush{ gas: 500_000 }(one(SALT), NATIVE);
        vm.assertEq(other.addressOf(SALT).balance, 3);
        moody.setOpen(true);
        expectFlushed(other, SALT, NATIVE, 3);
        other.flush{ gas: 500_000 }(one(SALT), NATIVE);
        vm.assertEq(address(moody).balance, 3);
    }

    function test_a_late_payment_is_flushed_through_the_clone_that_is_there() public {
        usd.mint(factory.addressOf(SALT), 1);
        factory.flush(one(SALT), address(usd));
        vm.deal(factory.addressOf(SALT), 2);
        factory.flush(one(SALT), NATIVE);
        usd.mint(factory.addressOf(SALT), 3);
        factory.flush(one(SALT), address(usd));
        vm.assertEq(usd.balanceOf(TREASURY), 4);
        vm.assertEq(TREASURY.balance, 2);
    }

    function test_an_empty_address_is_skipped_in_sight_and_not_deployed() public {
        expectSkipped(factory, SALT, address(usd), 0, ForwarderFactory.Reason.Empty);
        factory.flush(one(SALT), address(usd));
        expectSkipped(factory, SALT, NATIVE, 0, ForwarderFactory.Reason.Empty);
        factory.flush(one(SALT), NATIVE);
        vm.assertEq(factory.addressOf(SALT).code.length, 0);
    }

    function test_a_salt_named_twice_is_flushed_once() public {
        bytes32[] memory salts = new bytes32[](2);
        (salts[0], salts[1]) = (SALT, SALT);
        usd.mint(factory.addressOf(SALT), 9);
        expectFlushed(factory, SALT, address(usd), 9);
        expectSkipped(factory, SALT, address(usd), 0, ForwarderFactory.Reason.Empty);
        factory.flush(salts, address(usd));
        vm.assertEq(usd.balanceOf(TREASURY), 9);
    }

    function test_a_flush_of_no_salts_does_nothing() public {
        vm.recordLogs();
        factory.flush(new bytes32[](0), address(usd));
        vm.assertEq(vm.getRecordedLogs().length, 0);
    }

    // Gas

    function test_a_flush_reverts_rather_than_skip_for_want_of_gas() public {
        usd.mint(factory.addressOf(SALT), 1);
        vm.expectRevert(ForwarderFactory.NotEnoughGas.selector);
        factory.flush{ gas: 399_000 }(one(SALT), address(usd));
    }

    function test_no_gas_limit_makes_a_good_salt_be_skipped(uint256 gasLimit, uint8 count) public {
        bytes32[] memory salts = batch(1 + count % 20, SALT);
        for (uint256 i = 0; i < salts.length; ++i) {
            usd.mint(factory.addressOf(salts[i]), 1);
        }
        bytes memory data = abi.encodeCall(factory.flush, (salts, address(usd)));
        (bool done,) = address(factory).call{ gas: gasLimit % 2_000_000 }(data);
        vm.assertEq(usd.balanceOf(TREASURY), done ? salts.length : 0);
    }

    function test_a_token_that_needs_more_than_the_least_share_is_flushed_with_more_gas() public {
        HungryToken hungry = new HungryToken();
        hungry.mint(factory.addressOf(SALT), 4);
        expectSkipped(factory, SALT, address(hungry), 4, ForwarderFactory.Reason.Refused);
        factory.flush{ gas: 500_000 }(one(SALT), address(hungry));
        expectFlushed(factory, SALT, address(hungry), 4);
        factory.flush{ gas: 3_000_000 }(one(SALT), address(hungry));
        vm.assertEq(hungry.balanceOf(TREASURY), 4);
    }
}
