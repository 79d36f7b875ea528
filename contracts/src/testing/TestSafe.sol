// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What is asked of a Safe: who owns it, and how many of them must sign
/// @notice For tests. It holds what it is sent and moves nothing.
contract TestSafe {
    address[] private _owners;
    uint256 private _threshold;

    /// @notice Sets up the owners.
    /// @param owners_ Who may sign.
    /// @param threshold_ How many must.
    constructor(address[] memory owners_, uint256 threshold_) {
        _owners = owners_;
        _threshold = threshold_;
    }

    /// @notice Takes native coin.
    receive() external payable { }

    /// @notice Who may sign.
    /// @return owners All owners.
    function getOwners() external view returns (address[] memory owners) {
        return _owners;
    }

    /// @notice How many must sign.
    /// @return threshold The number.
    function getThreshold() external view returns (uint256 threshold) {
        return _threshold;
    }
}
