@0xb0f3d6c58d21e5f4;

struct Table {
  rows @0 :List(Row);
}

struct Row {
  id @0 :UInt32;
  name @1 :Text;
}
