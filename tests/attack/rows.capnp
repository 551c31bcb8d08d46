@0xb6b1d9f4a6c24d4e;
# Rows of bytes, for messages of any size.

struct Rows {
  rows @0 :List(Row);

  struct Row {
    number @0 :UInt64;
    data @1 :Data;
  }
}
