@0xd9a5c3b1e7f02846;
# What new.capnp was before it grew.

struct Row {
  id @0 :Int64;
}

struct Root {
  numbers @0 :List(Int32);
  rows @1 :List(Row);
  names @2 :List(Text);
}
