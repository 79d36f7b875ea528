// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What is asked of a sanctions oracle in the manner of Chainalysis's
/// @notice Anyone may put an address on it. For tests, never a real oracle.
contract TestOracle {
    /// @notice Who is on it.
    mapping(address account => bool sanctioned) public isSanctioned;

    /// @notice Puts an address on it, or takes it off.
    /// @param account The address.
    /// @param sanctioned Whether it is on it.
    function set(address account, bool sanctioned) external {
        isSanctioned[account] = sanctioned;
    }
}
