// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title A price feed in the manner of Chainlink's aggregators and their proxies
/// @notice Anyone may write any round, also impossible ones. For tests, never a real feed.
contract TestFeed {
    struct Round {
        int256 answer;
        uint256 updatedAt;
        uint80 answeredInRound;
    }

    /// @notice There is no such round.
    error NoRound(uint80 roundId);

    /// @notice Decimals of every answer.
    uint8 public decimals;
    /// @notice What is priced in what.
    string public description;
    /// @notice The newest round; zero reverts.
    uint80 public latest;
    /// @notice A proxy's aggregators by phase.
    mapping(uint16 phase => address aggregator) public phaseAggregators;

    mapping(uint80 roundId => Round round) private _rounds;

    /// @notice Sets up an empty feed.
    /// @param decimals_ Decimals of every answer.
    /// @param description_ What is priced in what.
    constructor(uint8 decimals_, string memory description_) {
        decimals = decimals_;
        description = description_;
    }

    /// @notice Changes the decimals.
    /// @param decimals_ Decimals of every answer.
    function setDecimals(uint8 decimals_) external {
        decimals = decimals_;
    }

    /// @notice Names the aggregator of a phase.
    /// @param phase The phase.
    /// @param aggregator Its aggregator.
    function setPhase(uint16 phase, address aggregator) external {
        phaseAggregators[phase] = aggregator;
    }

    /// @notice Writes a round and makes it the newest; its time is the block's.
    /// @param roundId Its id.
    /// @param answer_ Its answer.
    function answer(uint80 roundId, int256 answer_) external {
        latest = roundId;
        _rounds[roundId] = Round(answer_, block.timestamp, roundId);
    }

    /// @notice Writes a round as given and makes it the newest.
    /// @param roundId Its id.
    /// @param answer_ Its answer.
    /// @param updatedAt When it says it was updated.
    /// @param answeredInRound In which round it says it was answered.
    function write(uint80 roundId, int256 answer_, uint256 updatedAt, uint80 answeredInRound) external {
        latest = roundId;
        _rounds[roundId] = Round(answer_, updatedAt, answeredInRound);
    }

    /// @notice Makes another round, or none, the newest.
    /// @param roundId Its id; zero: latestRoundData reverts.
    function setLatest(uint80 roundId) external {
        latest = roundId;
    }

    /// @notice The newest round.
    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return getRoundData(latest);
    }

    /// @notice One round.
    /// @param roundId Its id.
    function getRoundData(uint80 roundId) public view returns (uint80, int256, uint256, uint256, uint80) {
        Round memory round = _rounds[roundId];
        if (round.answeredInRound == 0) revert NoRound(roundId);
        return (roundId, round.answer, round.updatedAt, round.updatedAt, round.answeredInRound);
    }
}
