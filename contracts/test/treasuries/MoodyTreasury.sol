// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title A treasury that refuses native coin, with a large answer, until it is told to take it
contract MoodyTreasury {
    bool public open;

    function setOpen(bool open_) external {
        open = open_;
    }

    receive() external payable {
        bool refuse = !open;
        assembly {
            if refuse { revert(0, 200000) }
            return(0, 200000)
        }
    }
}
