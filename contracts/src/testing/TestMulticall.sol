// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What the balance audit needs of Multicall3
/// @notice Answers several calls in one. For tests; real chains have the real one at its usual address.
contract TestMulticall {
    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Result {
        bool success;
        bytes returnData;
    }

    /// @notice A call failed that was not allowed to.
    error CallFailed(uint256 position);

    /// @notice Makes calls, one after the other.
    /// @param calls Whom to call with what, and whether it may fail.
    /// @return results How each went, and what it answered.
    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory results) {
        results = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool good, bytes memory answer) = calls[i].target.call(calls[i].callData);
            if (!good && !calls[i].allowFailure) revert CallFailed(i);
            results[i] = Result(good, answer);
        }
    }

    /// @notice What an address holds of the native coin.
    /// @param owner The address.
    /// @return balance In the smallest unit.
    function getEthBalance(address owner) external view returns (uint256 balance) {
        return owner.balance;
    }
}
