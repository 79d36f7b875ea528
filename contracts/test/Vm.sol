// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ForwarderFactory } from "../src/ForwarderFactory.sol";

/// @title The cheat codes of forge that these tests use
interface Vm {
    /// @dev A log, as `getRecordedLogs` gives it.
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    /// @dev Gas of the last call, as `lastCallGas` gives it.
    struct Gas {
        uint64 gasLimit;
        uint64 gasTotalUsed;
        uint64 gasMemoryUsed;
        int64 gasRefunded;
        uint64 gasRemaining;
    }

    function assertEq(uint256 left, uint256 right) external pure;
    function assertEq(uint256 left, uint256 right, string calldata because) external pure;
    function assertEq(address left, address right) external pure;
    function assertEq(bytes32 left, bytes32 right) external pure;
    function assertEq(bytes calldata left, bytes calldata right) external pure;
    function assertEq(bytes calldata left, bytes calldata right, string calldata because) external pure;
    function assertTrue(bool condition) external pure;
    function assertTrue(bool condition, string calldata because) external pure;
    function assertFalse(bool condition) external pure;
    function assertLe(uint256 left, uint256 right) external pure;
    function assertGe(uint256 left, uint256 right) external pure;
    function assume(bool condition) external pure;
    function cool(address target) external;
    function deal(address who, uint256 balance) external;
    function etch(address where, bytes calldata code) external;
    function prank(address sender) external;
    function expectRevert(bytes4 selector) external;
    function expectEmit(address emitter) external;
    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
    function lastCallGas() external view returns (Gas memory);
    function readFile(string calldata path) external view returns (string memory);
    function keyExistsJson(string calldata json, string calldata key) external view returns (bool);
    function parseJsonAddress(string calldata json, string calldata key) external pure returns (address);
    function parseJsonBytes32(string calldata json, string calldata key) external pure returns (bytes32);
    function parseJsonBool(string calldata json, string calldata key) external pure returns (bool);
    function parseJsonBytes(string calldata json, string calldata key) external pure returns (bytes memory);
    function toString(uint256 value) external pure returns (string memory);
}

/// @title What every test here stands on
abstract contract Bench {
    Vm internal constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    address internal constant TREASURY = address(0x7EA5);
    address internal constant NATIVE = address(0);
    address internal constant ANYONE = address(0);

    /// @dev One salt as a batch.
    function one(bytes32 salt) internal pure returns (bytes32[] memory salts) {
        salts = new bytes32[](1);
        salts[0] = salt;
    }

    /// @dev `count` salts that no other batch has, unless it has the same seed.
    function batch(uint256 count, bytes32 seed) internal pure returns (bytes32[] memory salts) {
        salts = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            salts[i] = keccak256(abi.encode(seed, i));
        }
    }

    /// @dev The code of a clone, written down a second time from EIP-1167.
    function cloneCode(address implementation) internal pure returns (bytes memory) {
        return abi.encodePacked(hex"363d3d373d3d3d363d73", implementation, hex"5af43d82803e903d91602b57fd5bf3");
    }

    /// @dev The address of a clone, computed a second time from EIP-1014.
    function cloneAddress(address factory, address implementation, bytes32 salt) internal pure returns (address) {
        bytes32 codeHash = keccak256(abi.encodePacked(hex"3d602d80600a3d3981f3", cloneCode(implementation)));
        return create2Address(factory, salt, codeHash);
    }

    /// @dev EIP-1014.
    function create2Address(address deployer, bytes32 salt, bytes32 initCodeHash) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"ff", deployer, salt, initCodeHash)))));
    }

    /// @dev The first contract that a contract makes: the hash of rlp([maker, 1]).
    function firstChild(address maker) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"d694", maker, hex"01")))));
    }

    function expectFlushed(ForwarderFactory factory, bytes32 salt, address token, uint256 amount) internal {
        vm.expectEmit(address(factory));
        emit ForwarderFactory.Flushed(salt, token, amount);
    }

    function expectSkipped(
        ForwarderFactory factory,
        bytes32 salt,
        address token,
        uint256 amount,
        ForwarderFactory.Reason reason
    ) internal {
        vm.expectEmit(address(factory));
        emit ForwarderFactory.Skipped(salt, token, amount, reason);
    }
}
