// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Clones } from "@openzeppelin/contracts/proxy/Clones.sol";
import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { Forwarder } from "./Forwarder.sol";

/// @title Payment addresses for invoices, and the way to empty them
/// @notice The address of salt S is the CREATE2 address of a clone of `implementation`, made by this factory.
/// It can be paid before it is deployed. It is deployed when it is first flushed.
/// @dev No owner, no storage, no upgrade, no pause. Money can only ever move to `treasury`.
contract ForwarderFactory {
    /// @notice Why a salt was skipped.
    /// @dev Empty: the balance is zero, nothing was deployed.
    /// Unreadable: the token did not answer `balanceOf` (no code, reverted, ran out of gas, short answer).
    /// Refused: the transfer reverted, answered false or ran out of gas. The money stays where it is.
    enum Reason {
        Empty,
        Unreadable,
        Refused
    }

    /// @dev The least gas that a salt gets. A flush reverts rather than skip a salt for want of it.
    uint256 private constant SALT_GAS_MIN = 400_000;

    /// @notice Where all money goes.
    address public immutable treasury;
    /// @notice Who may flush; 0 is anyone.
    address public immutable flusher;
    /// @notice True: nothing is flushed while the treasury has no code. False: the treasury is an EOA.
    bool public immutable treasuryIsContract;
    /// @notice The forwarder that every payment address is a clone of.
    address public immutable implementation;

    /// @notice The whole balance of a payment address was sent to the treasury.
    /// @param salt The salt of the payment address.
    /// @param token The ERC-20 token, or 0 for the native coin.
    /// @param amount What left, as the token told it; a fee on transfer is still inside.
    event Flushed(bytes32 indexed salt, address indexed token, uint256 amount);

    /// @notice Nothing moved.
    /// @param salt The salt of the payment address.
    /// @param token The ERC-20 token, or 0 for the native coin.
    /// @param amount What stays; 0 when it could not be read.
    /// @param reason Why.
    event Skipped(bytes32 indexed salt, address indexed token, uint256 amount, Reason reason);

    /// @notice The treasury must not be the zero address.
    error ZeroTreasury();
    /// @notice Only the flusher may flush.
    error NotFlusher();
    /// @notice The treasury was declared a contract and is not deployed on this chain.
    error TreasuryHasNoCode();
    /// @notice Send the transaction again with more gas, or with fewer salts. Nothing moved.
    error NotEnoughGas();

    /// @param treasury_ Where all money goes; not 0.
    /// @param flusher_ Who may flush; 0 is anyone.
    /// @param treasuryIsContract_ Whether the treasury must have code before anything is flushed.
    constructor(address treasury_, address flusher_, bool treasuryIsContract_) {
        if (treasury_ == address(0)) revert ZeroTreasury();
        treasury = treasury_;
        flusher = flusher_;
        treasuryIsContract = treasuryIsContract_;
        implementation = address(new Forwarder(treasury_));
    }

    /// @notice Empties payment addresses into the treasury. A salt that fails is skipped; the others go on.
    /// @dev Every salt has its share of the gas left, at least SALT_GAS_MIN, so that one which burns gas cannot
    /// starve the rest, and so that `eth_estimateGas` cannot settle on a limit at which salts are skipped.
    /// More gas is a larger share: no fixed limit can ever lock a token in. Every step can be repeated, so
    /// there is no lock against re-entry: a second flush finds an empty address.
    /// @param salts The payment addresses' salts.
    /// @param token The ERC-20 token, or 0 for the native coin.
    function flush(bytes32[] calldata salts, address token) external {
        if (flusher != address(0) && msg.sender != flusher) revert NotFlusher();
        if (treasuryIsContract && treasury.code.length == 0) revert TreasuryHasNoCode();
        for (uint256 i = 0; i < salts.length; ++i) {
            uint256 share = gasleft() / (salts.length - i);
            if (share < SALT_GAS_MIN) {
                if (gasleft() < SALT_GAS_MIN) revert NotEnoughGas();
                share = SALT_GAS_MIN;
            }
            _flush(salts[i], token, share);
        }
    }

    /// @notice The payment address of a salt, deployed or not.
    /// @param salt The digest of the invoice.
    /// @return The address of the clone.
    function addressOf(bytes32 salt) public view returns (address) {
        return Clones.predictDeterministicAddress(implementation, salt);
    }

    /// @dev A quarter of the share reads the balance, a half moves it, the rest deploys and logs.
    function _flush(bytes32 salt, address token, uint256 share) private {
        address forwarder = addressOf(salt);
        (bool known, uint256 amount) = _balance(token, forwarder, share / 4);
        if (amount == 0) {
            emit Skipped(salt, token, 0, known ? Reason.Empty : Reason.Unreadable);
            return;
        }
        if (forwarder.code.length == 0) Clones.cloneDeterministic(implementation, salt);
        (bool sent,) = forwarder.call{ gas: share / 2 }(abi.encodeCall(Forwarder.sweep, (token, amount)));
        if (sent) emit Flushed(salt, token, amount);
        else emit Skipped(salt, token, amount, Reason.Refused);
    }

    /// @dev Reads at most one word of the answer. An address without code answers nothing and is not known.
    function _balance(address token, address owner, uint256 gasMax) private view returns (bool known, uint256 amount) {
        if (token == address(0)) return (true, owner.balance);
        bytes4 selector = IERC20.balanceOf.selector;
        assembly ("memory-safe") {
            mstore(0x00, selector)
            mstore(0x04, owner)
            known := staticcall(gasMax, token, 0x00, 0x24, 0x00, 0x20)
            known := and(known, gt(returndatasize(), 0x1f))
            amount := mul(known, mload(0x00))
        }
    }
}
