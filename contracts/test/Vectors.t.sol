// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Clones } from "@openzeppelin/contracts/proxy/Clones.sol";
import { ForwarderFactory } from "../src/ForwarderFactory.sol";
import { TestUSD } from "../src/testing/TestUSD.sol";
import { Bench } from "./Vm.sol";

/// @title Makes clones, from whatever address its code is put at
contract Cloner {
    function clone(address implementation, bytes32 salt) external returns (address) {
        return Clones.cloneDeterministic(implementation, salt);
    }
}

contract VectorsTest is Bench {
    string private json;

    function setUp() public {
        json = vm.readFile("vectors.json");
        vm.etch(vm.parseJsonAddress(json, ".proxy"), vm.parseJsonBytes(json, ".proxy_runtime_code"));
    }

    function test_the_vectors_belong_to_this_bytecode() public view {
        bytes32 codeHash = keccak256(type(ForwarderFactory).creationCode);
        vm.assertEq(codeHash, vm.parseJsonBytes32(json, ".factory_init_code_hash"));
    }

    function test_every_factory_is_deployed_at_its_vector() public {
        uint256 count = 0;
        for (string memory row = ".factories[0]"; vm.keyExistsJson(json, row); row = nth(".factories", ++count)) {
            ForwarderFactory factory = deploy(row);
            vm.assertEq(address(factory), field(row, ".factory"));
            vm.assertEq(factory.implementation(), field(row, ".implementation"));
            vm.assertEq(firstChild(address(factory)), field(row, ".implementation"));
            vm.assertEq(factory.treasury(), field(row, ".treasury"));
            vm.assertEq(factory.flusher(), field(row, ".flusher"));
            vm.assertTrue(
                factory.treasuryIsContract() == vm.parseJsonBool(json, string.concat(row, ".treasury_is_contract"))
            );
        }
        vm.assertGe(count, 4);
    }

    function test_every_clone_is_deployed_at_its_vector() public {
        bytes memory code = address(new Cloner()).code;
        uint256 count = 0;
        for (string memory row = ".addresses[0]"; vm.keyExistsJson(json, row); row = nth(".addresses", ++count)) {
            (address factory, address implementation) = (field(row, ".factory"), field(row, ".implementation"));
            bytes32 salt = vm.parseJsonBytes32(json, string.concat(row, ".salt"));
            vm.etch(factory, code);
            address made = Cloner(factory).clone(implementation, salt);
            vm.assertEq(made, field(row, ".address"));
            vm.assertEq(made, cloneAddress(factory, implementation, salt));
            vm.assertEq(made.code, cloneCode(implementation));
        }
        vm.assertGe(count, 8);
    }

    function test_a_flush_through_a_deployed_factory_arrives_from_the_vectors_address() public {
        ForwarderFactory factory = deploy(".factories[0]");
        TestUSD usd = new TestUSD("Test USD", "TUSD", 6);
        bytes32 salt = vm.parseJsonBytes32(json, ".addresses[4].salt");
        vm.assertEq(field(".addresses[4]", ".factory"), address(factory));
        usd.mint(field(".addresses[4]", ".address"), 5);
        factory.flush(one(salt), address(usd));
        vm.assertEq(usd.balanceOf(factory.treasury()), 5);
    }

    function deploy(string memory row) private returns (ForwarderFactory) {
        bytes memory arguments = abi.encode(
            field(row, ".treasury"),
            field(row, ".flusher"),
            vm.parseJsonBool(json, string.concat(row, ".treasury_is_contract"))
        );
        bytes memory initCode = abi.encodePacked(type(ForwarderFactory).creationCode, arguments);
        bytes32 salt = vm.parseJsonBytes32(json, string.concat(row, ".salt"));
        vm.assertEq(keccak256(initCode), vm.parseJsonBytes32(json, string.concat(row, ".init_code_hash")));
        address proxy = vm.parseJsonAddress(json, ".proxy");
        (bool done, bytes memory answer) = proxy.call(abi.encodePacked(salt, initCode));
        address made = create2Address(proxy, salt, keccak256(initCode));
        vm.assertTrue(done);
        vm.assertEq(answer, abi.encodePacked(made));
        return ForwarderFactory(made);
    }

    function nth(string memory list, uint256 index) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(index), "]");
    }

    function field(string memory row, string memory name) private view returns (address) {
        return vm.parseJsonAddress(json, string.concat(row, name));
    }
}
