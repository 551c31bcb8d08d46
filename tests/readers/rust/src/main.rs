//! Reads a file of the struct Blocks by the capnp crate, as a stream and in place.

use capnp::any_pointer;
use capnp::message::{ReaderOptions, ReaderSegments};
use capnp::private::layout::{ElementSize, PointerReader, StructReader};
use capnp::traits::FromPointerReader;

struct Struct<'a>(StructReader<'a>);

impl<'a> FromPointerReader<'a> for Struct<'a> {
    fn get_from_pointer(
        reader: &PointerReader<'a>,
        default: Option<&'a [capnp::Word]>,
    ) -> capnp::Result<Self> {
        Ok(Struct(reader.get_struct(default)?))
    }
}

fn describe<S: ReaderSegments>(message: capnp::message::Reader<S>) -> capnp::Result<Vec<String>> {
    let root: any_pointer::Reader = message.get_root()?;
    root.target_size()?; // follows every pointer
    let blocks: Struct = root.get_as()?;
    let list = blocks
        .0
        .get_pointer_field(1)
        .get_list(ElementSize::InlineComposite, None)?;
    let (mut sum, mut note, mut value) = (0u64, String::new(), String::new());
    for i in 0..list.len() {
        let block = list.get_struct_element(i);
        sum += u64::from(block.get_data_field::<u32>(0));
        note = block.get_pointer_field(1).get_text(None)?.to_string();
        let values: capnp::primitive_list::Reader<u64> =
            FromPointerReader::get_from_pointer(&block.get_pointer_field(0), None)?;
        value = match values.len() {
            0 => String::new(),
            length => values.get(length - 1).to_string(),
        };
    }
    let label = blocks.0.get_pointer_field(0).get_text(None)?.to_string();
    Ok(vec![label, list.len().to_string(), sum.to_string(), note, value])
}

fn main() -> capnp::Result<()> {
    let path = std::env::args().nth(1).expect("a file");
    let bytes = std::fs::read(path).expect("a file that can be read");
    let mut options = ReaderOptions::new();
    options.traversal_limit_in_words(None);
    let stream = describe(capnp::serialize::read_message(&mut bytes.as_slice(), options)?)?;
    let mut slice = bytes.as_slice();
    let flat = describe(capnp::serialize::read_message_from_flat_slice(&mut slice, options)?)?;
    assert_eq!(stream, flat);
    assert!(slice.is_empty());
    for part in flat {
        println!("{}", part);
    }
    Ok(())
}
