// What both JavaScript libraries have alike: classes for the struct Blocks, and what to print.

export function classes({ Struct, ObjectSize, CompositeList, getText, getUint32, getList, Uint64List }) {
    class Block extends Struct {
        get index() { return getUint32(0, this); }
        get values() { return getList(0, Uint64List, this); }
        get note() { return getText(1, this); }
    }
    Block._capnp = { displayName: "Block", id: "1", size: new ObjectSize(8, 2) };
    const Blocks_ = CompositeList(Block);
    class Blocks extends Struct {
        get label() { return getText(0, this); }
        get blocks() { return getList(1, Blocks_, this); }
    }
    Blocks._capnp = { displayName: "Blocks", id: "2", size: new ObjectSize(0, 3) };
    return Blocks;
}

const lengthOf = (list) => (typeof list.getLength === "function" ? list.getLength() : list.length);
const at = (list, i) => (typeof list.get === "function" ? list.get(i) : list[i]);

export function print(root) {
    const blocks = root.blocks;
    const length = lengthOf(blocks);
    let sum = 0, note = "", value = "";
    for (let i = 0; i < length; i++) {
        const block = at(blocks, i);
        sum += block.index;
        note = block.note;
        const count = lengthOf(block.values);
        value = count ? at(block.values, count - 1).toString() : "";
    }
    for (const part of [root.label, length, sum, note, value]) console.log(String(part));
}
