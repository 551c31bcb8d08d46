@0x9a1b6c3d52e0f784;
# Small messages for the tests of logs, and one that is easily made large.

struct Event {
  time @0 :UInt64;
  value @1 :Float64;
  name @2 :Text;
  payload @3 :Data;
}
