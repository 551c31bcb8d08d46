@0xb6a1d2f70c94e835;
# What numbers and Data of other schemas mean, for columns and rows:
#
#     using Arrow = import "/mmapbuilder/arrow.capnp";
#
#     struct Trade {
#       at @0 :Int64 $Arrow.timestamp(unit = "ns", timezone = "UTC");
#       day @1 :Int32 $Arrow.date32;
#       price @2 :Int64 $Arrow.decimal(scale = 2);
#     }
#
# An annotation changes nothing in a message. On a list it is about the elements.

annotation timestamp @0x9a3f5c07e1d8b264 (field) :Timestamp;
# Int64: units since 1970 began.

annotation date32 @0xa7e20b5d94c6f813 (field) :Void;
# Int32: days since 1970 began.

annotation date64 @0xc05d8e31f72a496b (field) :Void;
# Int64: milliseconds since 1970 began, of whole days.

annotation time @0xd8164fb2a395c07e (field) :Unit;
# Units since midnight: Int32 for "s" and "ms", Int64 for "us" and "ns".

annotation duration @0xe42b97d60f1c853a (field) :Unit;
# Int64: units.

annotation decimal @0xf3c8a06e5b27d914 (field) :Decimal;
# An integer that is the decimal times ten to the power of its scale: 125 is 1.25 with a scale
# of 2. Data: such an integer in two's complement, little-endian, of 16 bytes, or of 32 where
# the precision is over 38.

annotation name @0x8d71e3b94a06f52c (field, group, union) :Text;
# What the column of a field is called in tables.

struct Timestamp @0xb25e90c7d4f1683a {
  unit @0 :Text = "us";
  # "s", "ms", "us" or "ns".

  timezone @1 :Text;
  # Such as "UTC" or "Europe/Vienna": in which values are shown. They count from 1970 in UTC.
  # Without one, they are times of day and date in no time zone at all.
}

struct Unit @0xc961d7f80a4be352 {
  unit @0 :Text = "us";
}

struct Decimal @0xda054b8e7c93f126 {
  precision @0 :UInt8;
  # Digits in all. 0: as many as the type can have.

  scale @1 :Int8;
  # Digits after the point.
}
