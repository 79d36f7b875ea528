// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ForwarderFactory } from "../src/ForwarderFactory.sol";
import { TestUSD } from "../src/testing/TestUSD.sol";
import { Bench, Vm } from "./Vm.sol";
import { MoodyToken } from "./tokens/MoodyToken.sol";

contract ForwarderFactoryFuzzTest is Bench {
    ForwarderFactory private factory;
    TestUSD private usd;

    function setUp() public {
        factory = new ForwarderFactory(TREASURY, ANYONE, false);
        usd = new TestUSD("Test USD", "TUSD", 6);
    }

    function test_the_address_computed_is_the_address_deployed(
        address treasury,
        address flusher,
        bool treasuryIsContract,
        bytes32 salt
    ) public {
        vm.assume(treasury != address(0) && uint160(treasury) > 0xffff);
        ForwarderFactory other = new ForwarderFactory(treasury, flusher, treasuryIsContract);
        if (treasuryIsContract) vm.etch(treasury, hex"00");
        address payee = cloneAddress(address(other), firstChild(address(other)), salt);
        vm.assertEq(other.addressOf(salt), payee);
        usd.mint(payee, 1);
        vm.prank(flusher);
        other.flush(one(salt), address(usd));
        vm.assertEq(payee.code, cloneCode(other.implementation()));
        vm.assertEq(usd.balanceOf(treasury), 1);
    }

    function test_any_amount_is_flushed_whole(bytes32 salt, uint256 amount, uint96 coins) public {
        vm.assume(amount != 0 && coins != 0);
        usd.mint(factory.addressOf(salt), amount);
        vm.deal(factory.addressOf(salt), coins);
        expectFlushed(factory, salt, address(usd), amount);
        factory.flush(one(salt), address(usd));
        expectFlushed(factory, salt, NATIVE, coins);
        factory.flush(one(salt), NATIVE);
        vm.assertEq(usd.balanceOf(TREASURY), amount);
        vm.assertEq(TREASURY.balance, coins);
    }

    function test_a_second_flush_changes_nothing(bytes32[] calldata salts, uint64[] calldata amounts) public {
        vm.assume(salts.length < 30);
        for (uint256 i = 0; i < salts.length && i < amounts.length; ++i) {
            usd.mint(factory.addressOf(salts[i]), amounts[i]);
        }
        factory.flush(salts, address(usd));
        vm.assertEq(usd.balanceOf(TREASURY), usd.totalSupply());
        vm.recordLogs();
        factory.flush(salts, address(usd));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, salts.length);
        for (uint256 i = 0; i < logs.length; ++i) {
            vm.assertEq(logs[i].topics[0], ForwarderFactory.Skipped.selector);
            vm.assertEq(logs[i].data, abi.encode(0, ForwarderFactory.Reason.Empty));
        }
    }

    /// @dev With the least share for each salt, whatever the bad ones do, exactly the good ones are flushed.
    function test_bad_salts_never_block_good_ones(bytes32 seed, uint8[12] calldata moods) public {
        MoodyToken moody = new MoodyToken();
        bytes32[] memory salts = batch(12, seed);
        uint256 good = 0;
        for (uint256 i = 0; i < 12; ++i) {
            uint8 mood = moods[i] % (uint8(type(MoodyToken.Mood).max) + 1);
            moody.mint(factory.addressOf(salts[i]), 1);
            moody.setMood(factory.addressOf(salts[i]), MoodyToken.Mood(mood));
            if (mood < uint8(MoodyToken.Mood.Reverts)) ++good;
        }
        factory.flush{ gas: 12 * 405_000 }(salts, address(moody));
        vm.assertEq(moody.held(TREASURY), good);
        vm.assertEq(moody.held(address(moody)), 0);
    }
}
