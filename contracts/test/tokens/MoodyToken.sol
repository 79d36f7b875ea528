// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { TestUSD } from "../../src/testing/TestUSD.sol";

/// @title A token that misbehaves for chosen holders only
/// @dev The bombs are near the largest that the least share of gas can build.
contract MoodyToken is TestUSD("Moody Token", "MOO", 6) {
    /// @dev Up to BombsOnSuccess the balance can be flushed; from Reverts on it cannot.
    enum Mood {
        Honest,
        BalanceBombs,
        BombsOnSuccess,
        Reverts,
        BombsOnRevert,
        AnswersFalse,
        AnswersTwo,
        AnswersShort,
        BurnsGas,
        StealsAndAnswersFalse,
        BalanceReverts,
        BalanceBombsOnRevert,
        BalanceShort,
        BalanceBurnsGas
    }

    mapping(address holder => Mood mood) public moods;

    function setMood(address holder, Mood mood) external {
        moods[holder] = mood;
    }

    /// @notice What a holder really has, whatever its mood.
    function held(address holder) external view returns (uint256) {
        return super.balanceOf(holder);
    }

    function balanceOf(address holder) public view override returns (uint256) {
        Mood mood = moods[holder];
        uint256 amount = super.balanceOf(holder);
        if (mood == Mood.BalanceReverts) _revert(0);
        if (mood == Mood.BalanceBombsOnRevert) _revert(150_000);
        if (mood == Mood.BalanceShort) _return(amount, 31);
        if (mood == Mood.BalanceBombs) _return(amount, 150_000);
        if (mood == Mood.BalanceBurnsGas) _burn();
        return amount;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        Mood mood = moods[msg.sender];
        if (mood == Mood.Reverts) _revert(0);
        if (mood == Mood.BombsOnRevert) _revert(250_000);
        if (mood == Mood.AnswersFalse) return false;
        if (mood == Mood.AnswersTwo) _return(2, 32);
        if (mood == Mood.AnswersShort) _return(1, 31);
        if (mood == Mood.BurnsGas) _burn();
        _transfer(msg.sender, mood == Mood.StealsAndAnswersFalse ? address(this) : to, amount);
        if (mood == Mood.StealsAndAnswersFalse) return false;
        if (mood == Mood.BombsOnSuccess) _return(1, 220_000);
        return true;
    }

    function _burn() private pure {
        assembly {
            invalid()
        }
    }

    function _revert(uint256 size) private pure {
        assembly {
            revert(0, size)
        }
    }

    function _return(uint256 first, uint256 size) private pure {
        assembly {
            mstore(0, first)
            return(0, size)
        }
    }
}
