// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Forwarder } from "../src/Forwarder.sol";
import { ForwarderFactory } from "../src/ForwarderFactory.sol";
import { NoReturnUSD } from "../src/testing/NoReturnUSD.sol";
import { Bench, Vm } from "./Vm.sol";
import { MoodyToken } from "./tokens/MoodyToken.sol";

/// @title Payers, flushers, a token's issuer and strangers, in any order
contract World is Bench {
    uint256 public constant PAYEES = 8;
    ForwarderFactory public immutable factory = new ForwarderFactory(TREASURY, ANYONE, false);
    MoodyToken public immutable moody = new MoodyToken();
    NoReturnUSD public immutable usdt = new NoReturnUSD();
    uint256 public coins;
    uint256 public claimed;

    function salt(uint256 seed) public pure returns (bytes32) {
        return keccak256(abi.encode(seed % PAYEES));
    }

    function payee(uint256 seed) public view returns (address) {
        return cloneAddress(address(factory), firstChild(address(factory)), salt(seed));
    }

    function pay(uint256 seed, uint64 amount, uint8 token) external {
        if (token % 3 == 0) moody.mint(payee(seed), amount);
        if (token % 3 == 1) usdt.mint(payee(seed), amount);
        if (token % 3 == 2) {
            vm.deal(address(this), amount);
            (bool sent,) = payee(seed).call{ value: amount }("");
            vm.assertTrue(sent);
            coins += amount;
        }
    }

    function setMood(uint256 seed, uint8 mood) external {
        moody.setMood(payee(seed), MoodyToken.Mood(mood % (uint8(type(MoodyToken.Mood).max) + 1)));
    }

    function flush(uint256[4] calldata seeds, uint8 token) external {
        bytes32[] memory salts = new bytes32[](4);
        for (uint256 i = 0; i < 4; ++i) {
            salts[i] = salt(seeds[i]);
        }
        vm.recordLogs();
        factory.flush{ gas: 4 * 405_000 }(salts, [address(moody), address(usdt), NATIVE][token % 3]);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != ForwarderFactory.Flushed.selector) continue;
            claimed += abi.decode(logs[i].data, (uint256));
        }
    }

    function meddle(address stranger, uint256 seed, uint8 token, uint256 amount) external {
        vm.assume(stranger != address(factory));
        address target = seed % 2 == 0 ? payee(seed) : factory.implementation();
        if (target.code.length == 0) return;
        vm.prank(stranger);
        vm.expectRevert(Forwarder.NotFactory.selector);
        Forwarder(payable(target)).sweep([address(moody), address(usdt), NATIVE][token % 3], amount);
    }
}

contract InvariantsTest is Bench {
    World private world;

    function setUp() public {
        world = new World();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(world);
    }

    function invariant_money_is_at_a_payment_address_or_in_the_treasury() public view {
        uint256 moodies = world.moody().held(TREASURY);
        uint256 usdts = world.usdt().balanceOf(TREASURY);
        uint256 coins = TREASURY.balance;
        for (uint256 i = 0; i < world.PAYEES(); ++i) {
            moodies += world.moody().held(world.payee(i));
            usdts += world.usdt().balanceOf(world.payee(i));
            coins += world.payee(i).balance;
        }
        vm.assertEq(moodies, world.moody().totalSupply());
        vm.assertEq(usdts, world.usdt().totalSupply());
        vm.assertEq(coins, world.coins());
    }

    function invariant_the_treasury_has_exactly_what_was_said_to_be_flushed() public view {
        uint256 treasury = world.moody().held(TREASURY) + world.usdt().balanceOf(TREASURY) + TREASURY.balance;
        vm.assertEq(treasury, world.claimed());
    }

    function invariant_a_payment_address_is_empty_or_a_clone() public view {
        address implementation = world.factory().implementation();
        for (uint256 i = 0; i < world.PAYEES(); ++i) {
            bytes memory code = world.payee(i).code;
            if (code.length != 0) vm.assertEq(code, cloneCode(implementation));
        }
    }
}
