// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ForwarderFactory } from "../../src/ForwarderFactory.sol";
import { TestUSD } from "../../src/testing/TestUSD.sol";

/// @title A token that flushes again from inside a transfer, before or after the money moves
contract ReentrantToken is TestUSD("Reentrant Token", "REE", 6) {
    ForwarderFactory private factory;
    bytes32[] private salts;
    bool private before;
    uint256 public entered;

    /// @param salts_ What to flush from inside; none to behave.
    function arm(ForwarderFactory factory_, bytes32[] calldata salts_, bool before_) external {
        factory = factory_;
        salts = salts_;
        before = before_;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (before) _again();
        _transfer(msg.sender, to, amount);
        if (!before) _again();
        return true;
    }

    function _again() private {
        bytes32[] memory inside = salts;
        if (inside.length == 0) return;
        delete salts;
        ++entered;
        factory.flush(inside, address(this));
    }
}
