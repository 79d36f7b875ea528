// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ForwarderFactory } from "../src/ForwarderFactory.sol";
import { Bench, Vm } from "./Vm.sol";
import { BlacklistToken } from "./tokens/BlacklistToken.sol";
import { FeeToken } from "./tokens/FeeToken.sol";
import { LyingToken } from "./tokens/LyingToken.sol";
import { MoodyToken } from "./tokens/MoodyToken.sol";
import { ReentrantToken } from "./tokens/ReentrantToken.sol";
import { SurchargeToken } from "./tokens/SurchargeToken.sol";

contract HostileTokensTest is Bench {
    bytes32 private constant SALT = "invoice";
    ForwarderFactory.Reason private constant UNREADABLE = ForwarderFactory.Reason.Unreadable;
    ForwarderFactory.Reason private constant REFUSED = ForwarderFactory.Reason.Refused;
    ForwarderFactory private factory;
    MoodyToken private moody;

    function setUp() public {
        factory = new ForwarderFactory(TREASURY, ANYONE, false);
        moody = new MoodyToken();
    }

    // Tokens that are not tokens

    function test_a_token_without_code_is_never_flushed(address token) public {
        vm.assume(token != NATIVE && token.code.length == 0 && uint160(token) > 0xffff);
        expectSkipped(factory, SALT, token, 0, UNREADABLE);
        factory.flush(one(SALT), token);
    }

    function test_a_precompile_is_never_flushed() public {
        for (uint160 token = 1; token < 32; ++token) {
            vm.recordLogs();
            factory.flush{ gas: 1_000_000 }(one(SALT), address(token));
            Vm.Log[] memory logs = vm.getRecordedLogs();
            vm.assertEq(logs.length, 1);
            vm.assertEq(logs[0].topics[0], ForwarderFactory.Skipped.selector);
        }
    }

    function test_a_contract_that_is_no_token_is_unreadable() public {
        expectSkipped(factory, SALT, address(factory), 0, UNREADABLE);
        factory.flush(one(SALT), address(factory));
    }

    // Tokens that are odd for everyone

    function test_a_fee_on_transfer_is_paid_and_the_balance_leaves() public {
        FeeToken token = new FeeToken();
        token.mint(factory.addressOf(SALT), 1000);
        expectFlushed(factory, SALT, address(token), 1000);
        factory.flush(one(SALT), address(token));
        vm.assertEq(token.balanceOf(TREASURY), 990);
        vm.assertEq(token.balanceOf(factory.addressOf(SALT)), 0);
    }

    function test_a_fee_on_top_leaves_the_balance_where_it_is() public {
        SurchargeToken token = new SurchargeToken();
        token.mint(factory.addressOf(SALT), 1000);
        expectSkipped(factory, SALT, address(token), 1000, REFUSED);
        factory.flush(one(SALT), address(token));
        vm.assertEq(token.balanceOf(factory.addressOf(SALT)), 1000);
    }

    /// @dev The event repeats what the token says. The token's own Transfer log is the evidence.
    function test_a_token_that_lies_lies_about_itself_only() public {
        LyingToken token = new LyingToken();
        token.mint(factory.addressOf(SALT), 5);
        expectFlushed(factory, SALT, address(token), 5);
        factory.flush(one(SALT), address(token));
        vm.assertEq(token.balanceOf(factory.addressOf(SALT)), 5);
    }

    function test_a_frozen_address_does_not_block_the_others_and_is_flushed_once_it_is_free() public {
        BlacklistToken token = new BlacklistToken();
        bytes32[] memory salts = batch(3, SALT);
        for (uint256 i = 0; i < 3; ++i) {
            token.mint(factory.addressOf(salts[i]), 10);
        }
        token.freeze(factory.addressOf(salts[1]), true);
        expectFlushed(factory, salts[0], address(token), 10);
        expectSkipped(factory, salts[1], address(token), 10, REFUSED);
        expectFlushed(factory, salts[2], address(token), 10);
        factory.flush(salts, address(token));
        token.freeze(factory.addressOf(salts[1]), false);
        factory.flush(salts, address(token));
        vm.assertEq(token.balanceOf(TREASURY), 30);
    }

    function test_a_frozen_treasury_moves_nothing() public {
        BlacklistToken token = new BlacklistToken();
        token.mint(factory.addressOf(SALT), 10);
        token.freeze(TREASURY, true);
        expectSkipped(factory, SALT, address(token), 10, REFUSED);
        factory.flush(one(SALT), address(token));
        vm.assertEq(token.balanceOf(factory.addressOf(SALT)), 10);
    }

    // Tokens that come back

    function test_a_token_that_flushes_again_moves_each_balance_once(bool before, bool all) public {
        ReentrantToken token = new ReentrantToken();
        bytes32[] memory salts = batch(3, SALT);
        for (uint256 i = 0; i < 3; ++i) {
            token.mint(factory.addressOf(salts[i]), 10 + i);
        }
        token.arm(factory, all ? salts : one(salts[0]), before);
        factory.flush(salts, address(token));
        token.arm(factory, new bytes32[](0), before);
        factory.flush(salts, address(token));
        vm.assertEq(token.balanceOf(TREASURY), 33);
    }

    function test_a_token_that_flushes_again_after_the_transfer_blocks_nothing() public {
        ReentrantToken token = new ReentrantToken();
        bytes32[] memory salts = batch(3, SALT);
        for (uint256 i = 0; i < 3; ++i) {
            token.mint(factory.addressOf(salts[i]), 10);
        }
        token.arm(factory, salts, false);
        factory.flush(salts, address(token));
        vm.assertEq(token.entered(), 1);
        vm.assertEq(token.balanceOf(TREASURY), 30);
    }

    // Tokens that are bad for one holder

    function test_a_large_answer_is_not_copied() public {
        flushInMood(MoodyToken.Mood.BombsOnSuccess);
        vm.assertEq(moody.held(TREASURY), 6);
        flushInMood(MoodyToken.Mood.BalanceBombs);
        vm.assertEq(moody.held(TREASURY), 12);
    }

    function test_a_salt_that_needs_more_than_an_equal_share_still_gets_the_least_share() public {
        bytes32[] memory salts = batch(10, SALT);
        for (uint256 i = 0; i < 10; ++i) {
            moody.mint(factory.addressOf(salts[i]), 6);
        }
        moody.setMood(factory.addressOf(salts[0]), MoodyToken.Mood.BombsOnSuccess);
        factory.flush{ gas: 1_200_000 }(salts, address(moody));
        vm.assertEq(moody.held(TREASURY), 60);
    }

    function test_a_transfer_that_fails_in_any_way_is_refused_and_leaves_no_trace() public {
        for (uint8 mood = uint8(MoodyToken.Mood.Reverts); mood < uint8(MoodyToken.Mood.BalanceReverts); ++mood) {
            bytes32 salt = bytes32(uint256(mood));
            address payee = factory.addressOf(salt);
            moody.mint(payee, 6);
            moody.setMood(payee, MoodyToken.Mood(mood));
            expectSkipped(factory, salt, address(moody), 6, REFUSED);
            factory.flush{ gas: 500_000 }(one(salt), address(moody));
            vm.assertEq(moody.held(payee), 6);
            vm.assertEq(moody.held(address(moody)), 0);
        }
    }

    function test_a_balance_that_cannot_be_read_is_unreadable_and_deploys_nothing() public {
        for (uint8 mood = uint8(MoodyToken.Mood.BalanceReverts); mood <= uint8(type(MoodyToken.Mood).max); ++mood) {
            bytes32 salt = bytes32(uint256(mood));
            moody.mint(factory.addressOf(salt), 6);
            moody.setMood(factory.addressOf(salt), MoodyToken.Mood(mood));
            expectSkipped(factory, salt, address(moody), 0, UNREADABLE);
            factory.flush{ gas: 500_000 }(one(salt), address(moody));
            vm.assertEq(factory.addressOf(salt).code.length, 0);
        }
    }

    function flushInMood(MoodyToken.Mood mood) private {
        moody.mint(factory.addressOf(SALT), 6);
        moody.setMood(factory.addressOf(SALT), mood);
        expectFlushed(factory, SALT, address(moody), 6);
        factory.flush{ gas: 500_000 }(one(SALT), address(moody));
    }
}
