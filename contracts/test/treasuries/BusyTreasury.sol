// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title A treasury that needs more than 2,300 gas to take native coin, as a Safe does
contract BusyTreasury {
    uint256 public received;

    receive() external payable {
        received += msg.value;
    }
}
