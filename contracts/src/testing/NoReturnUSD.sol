// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title A token in the manner of USDT: its transfers return nothing
/// @notice Anyone may mint. For tests and the demo, never a real token.
contract NoReturnUSD {
    /// @notice The token's name.
    string public constant name = "No Return USD";
    /// @notice The token's symbol.
    string public constant symbol = "NRUSD";
    /// @notice Six, as USDT has on most chains.
    uint8 public constant decimals = 6;
    /// @notice The sum of all balances.
    uint256 public totalSupply;
    /// @notice Who holds how much.
    mapping(address owner => uint256 amount) public balanceOf;
    /// @notice Who may spend how much of whose balance.
    mapping(address owner => mapping(address spender => uint256 amount)) public allowance;

    /// @notice Money moved.
    event Transfer(address indexed from, address indexed to, uint256 value);
    /// @notice An allowance was set.
    event Approval(address indexed owner, address indexed spender, uint256 value);

    /// @notice Gives anyone any amount.
    /// @param to Who receives it.
    /// @param amount In the smallest unit.
    function mint(address to, uint256 amount) external {
        totalSupply += amount;
        balanceOf[to] += amount;
        emit Transfer(address(0), to, amount);
    }

    /// @notice Moves the caller's money and returns nothing.
    /// @param to Who receives it.
    /// @param amount In the smallest unit.
    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    /// @notice Moves money by allowance and returns nothing.
    /// @param from Whose money.
    /// @param to Who receives it.
    /// @param amount In the smallest unit.
    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
    }

    /// @notice Lets somebody spend the caller's money; returns nothing.
    /// @param spender Who may spend.
    /// @param amount In the smallest unit.
    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
    }
}
