"""The inputs that value_forms.py asks PostgreSQL about."""
import itertools
import random

BOOL = """t f true false TRUE False tr tru fa fals y n yes no ye YES on off of o 1 0 2 01 -1 oN oFF || yess truee| true|false |	t"""

INT = """0 1 -1 +1 -0 +0 007 32767 32768 -32768 -32769 2147483647 2147483648 -2147483648 -2147483649 9223372036854775807
9223372036854775808 -9223372036854775808 -9223372036854775809 99999999999999999999999 1.0 1.5 1e3 0x10 0b1 0o7 1_000 1,000 abc - + --1 +-1
1- 1a a1 NaN Infinity ١ 12|34"""
INT_SPACED = ["", " ", " 1", "1 ", "\t1\n", " 1 2", "- 1", "\r5\r", "\v6\f", "1\u00a0"]

FLOAT = """0 -0 +0 1 -1 1. .5 -.5 +.5 . 1e 1e+ e5 1e5 1E5 1e+5 1e-5 1.5e300 1e308 1.7976931348623157e308 1.7976931348623159e308 1e309 -1e309 1e400
1e-307 2.2250738585072014e-308 1e-310 5e-324 4.9e-324 3e-324 2.4e-324 1e-400 -1e-400 0e400 0e-400 0.000e999 NaN nan NAN -nan +nan Infinity
infinity INFINITY -Infinity +infinity inf -inf +Inf infinit infin nano nan(1) 1.0.0 1d 1f 1_0 abc 1,5 0x10 0x1p4 0x1.8p1 -0x1p-2 0x 1e1e1 ++1 --1 +-1 $1 1%
0.1 0.2 0.3 123456789 1234567890123456 12345678901234567 123456789012345678 100000 1000000 10000000 999999 9999999 1234567 12345678
100000000000000 1000000000000000 10000000000000000 123456789012345 999999999999999 9999999999999999 0.0001 0.00001 0.00012345 0.000012345
1e22 1e23 9.5e-6 3.4028234e38 3.4028235e38 3.4028236e38 3.5e38 1e39 1.17549435e-38 1.4e-45 1e-45 7e-46 1e-46 16777216 16777217 33554432
8388608 9007199254740991 9007199254740992 9007199254740993 9007199254740994 2.5 3.14159265358979 2.718281828459045235 1.1 33.333333333333336 1e15
1e16 1e17 123456.7 1234567.8 99999.99 0.5 1e-4 1e-5 5e-5 12e-5 4.35 8.41 2.00 100 1e2 1e14 1e6 1.5e15 4503599627370496.5 4503599627370497.5
9223372036854775807 18446744073709551616 1e21 2e21 1.23e-300 9.999999999999999e22 5.0e-45 340282346638528859811704183484516925440"""
FLOAT_SPACED = ["", " ", " 1", "1 ", "\t-1.5\n", "1 2", "- 1", " NaN ", " inf ", "1e 5"]
# Where one neighbour of a double is at a different distance than the other, or a shortest decimal lies on the middle of two doubles.
FLOAT += " " + " ".join(f"{2.0 ** e!r}" for e in (-1074, -1022, -500, -44, 44, 50, 53, 54, 60, 63, 64, 70, 77, 89, 100, 300, 1023))
FLOAT += " " + " ".join(f"{m * 10.0 ** e!r}" for m in (1, 2, 5, 9) for e in range(16, 25))

NUMERIC = """0 1 -1 +1 -0 0.0 0.00 00.10 1.5 -1.5 .5 -.5 5. . - + 1e 1e+ 1e2 1E2 1e+2 1e-2 1.23e1 1.23e-1 123e-2 1e5 12345.678e-3 99.994 99.995 -99.995
0.005 -0.005 0.015 0.0049999999999999999999999 0.0050000000000000000000001 999.994 999.995 999.99 1000 -1000 999.9949999 1e3 1e2147483647 1e-2147483648 1e1073741823 1e1073741822 1e131071 1e131072 1e200000 0e200000 1e-200000 1e40 1e1000 9e131071
1e-1073741823 1e99999999999 1e-99999999999 0e99999 NaN nan -NaN +NaN Infinity -Infinity inf +inf -inf infinit abc 1_000 1,000 1.2.3 0x10 1a 1e1.5 1ee1 1e++1 --1 +-1 -+1
12345678901234567890 1234567890123456789012345678 12345678901234567890123456789012345678 99999999999999999999999999999999999999 100000000000000000000000000000000000000
-99999999999999999999999999999999999999 0.99999999999999999999999999999999999999 0.999999999999999999999999999999999999995 0.12345678901234567890123456789012345678
0.00000000000000000000000000000000000001 0.000000000000000000000000000000000000005 1e37 1e38 1e-38 1e-39 4e-39 5e-39 99999999.99 99999999.994 99999999.995 123.456 10000 9999.9999 10000.0001 0.0001
0.00001 1234.5678 12345678.1234 100000000 100000000.00000001 1e4 1e8 1e12 1e16"""
NUMERIC_SPACED = ["", " ", " 1", "1 ", "\t-1.5\n", "1 2", "- 1", " NaN ", "1e 5", "1e\t+5", "1e- 5", "1e ", "1 e5", "1.\t"]
NUMERICS = ["numeric(5,2)", "numeric(3,3)", "numeric(10,0)", "numeric(18,4)", "numeric(19,5)", "numeric(38,0)", "numeric(38,38)",
            "numeric(38,10)", "numeric"]

STRINGS = ["", " ", "a", "abc", "abcd", "abc ", "abc    ", "abc d", "  a", "   ", "    ", "äöü", "äöüß", "äöü ", "日本語", "日本語x", "e\u0301a", "\t\n",
           "a\\b", "'", "🦀🦀🦀", "🦀🦀🦀🦀", "ab\n", "abc\n"]

BYTEA = ["", "abc", "\\x", "\\x00", "\\x0aFf", "\\xDEADBEEF", "\\xdead beef", "\\x de ad\tbe\nef ", "\\xd ead", "\\xa", "\\xabc", "\\xzz", "\\x0g", "\\x0ä", "\\xä",
         "\\X00", "\\\\", "\\\\x41", "a\\\\b", "\\000", "\\001\\377", "\\400", "\\08", "\\0", "\\00", "\\", "a\\", "\\'", "\\n", "\\777", "ä", "\\x\\x41",
         " \\x41", "\\1234", "\\x4142", "a b", "\\x0a\r0b", "\\x0a\v0b", "\\x 0"]

UUID = """a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11 {a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11} a0eebc999c0b4ef8bb6d6bb9bd380a11
a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11 {a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11} {a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11 a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}
a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1 a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111 a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g a-0eebc999c0b4ef8bb6d6bb9bd380a11
a0e-ebc999c0b4ef8bb6d6bb9bd380a11 a0eebc999c0b4ef8bb6d6bb9bd380a11- -a0eebc999c0b4ef8bb6d6bb9bd380a11 a0ee--bc999c0b4ef8bb6d6bb9bd380a11
{{a0eebc999c0b4ef8bb6d6bb9bd380a11}} {} {a0eebc999c0b4ef8bb6d6bb9bd380a11-} 00000000-0000-0000-0000-000000000000 ffffffff-ffff-ffff-ffff-ffffffffffff
a0-eebc999c0b4ef8bb6d6bb9bd380a11 a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11x x 0xa0eebc999c0b4ef8bb6d6bb9bd380a a0eebc999c0b4ef8bb6d6bb9bd380ä11"""
UUID_SPACED = ["", " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 "]

DATES = """2024-02-29
2023-02-29
1999-01-08
January 8, 1999
Jan 8 1999
8 January 1999
8 Jan 1999
1999 Jan 8
1999-Jan-08
Jan-08-1999
08-Jan-1999
08-Jan-99
Jan-08-99
99-Jan-08
1/8/1999
1/18/1999
18/1/1999
01/02/03
1-2-3
1/2/70
1/2/69
1/2/100
1.2.1999
13.2.1999
1999/1/8
1999.1.8
19990108
990108
090108
1999.008
1999.366
20240024-060
20,00.367
2020,05,01,5
5874899 -infinity
20 infinity
2000.366
2000.367
1999.000
1999 008
J2451187
j2451187
J0
J-1
J2147483493
J2147483494
J2147483647
J2147483648
Julian 2451187
JD 2451187
J2451187.5
January 8, 99 BC
99-01-08 BC
0001-01-01
0001-01-01 BC
0000-01-01
0000-01-01 BC
0044-03-15 BC
4713-01-01 BC
4714-11-24 BC
4714-11-23 BC
4715-01-01 BC
9999-12-31
10000-01-01
99999-12-31
5874897-12-31
5874898-01-01
5874897-12-32
12345678-01-01
infinity
-infinity
+infinity
 Infinity 
-INFINITY
- infinity
inf
-inf
epoch
Epoch
 2024-02-29 
2024-2-9
2024-02-9
24-02-09
4-02-09
2024-13-01
2024-00-01
2024-01-00
2024-01-32
2024-04-31
2024-1-
2024-1
2024-01
2024
20240101
202401
2024011
240101
24010
12
1
99
0
2024-02-29 12:34
2024-02-29 12:34:56.789
2024-02-29T12:34:56Z
2024-02-29 25:00
2024-02-29 24:00
2024-02-29 24:00:01
2024-02-29 12:60
2024-02-29 12:34:60
2024-02-29 12:34:61
2024-02-29+01
2024-02-29 America/New_York
2024-02-29 Nowhere/Land
2024-02-29 nowhere
2024-02-29 +99
12:34 2024-02-29
12:34:56 Feb 29 2024
Thu 2024-02-29
Thursday Feb 29 2024
Thu Feb 29 2024
Mon Feb 29 2024
Feb 29 Thu 2024
Feb 29
Feb 2024
Feb
29 Feb
Feb 30 2024
Sept 5 2020
sep 5 2020
septembe 5 2020
Setember 5 2020
MAY 1 2020
2020 May 1
1 May 20
20 1 May
1 20 May
May 20 1
May 1 1
2020-05-01 AD
2020-05-01 BC
2020-05-01 bc
2020 BC
BC 2020-05-01
2020-05-01BC
2020-05-01 BC AD
on 2020-05-01
2020-05-01 at 12:00
y2020m05d01
y2020m5d1h4mm5s6
2020-05-01 d5
2020-W05-1
2020-122
2020122
2020-05-01 extra
abc
-
2020--05-01
2020-05--01
2020-05-01-
2020/05/01/
2020-05/01
2020.05-01
-2020-05-01
+2020-05-01
2020-05-01,
2020,05,01
Jan.5.2020
Jan/5/2020
5.Jan.2020
(2020-05-01)
[2020-05-01]
2020_05_01
2020:05:01
٢٠٢٠-٠٥-٠١
2020-05-01\x00
00002020-05-01
2020-0005-01
000000000000002020-05-01
2020-05-01 2020-05-01
2020-05-01 5
2020-05-01 1234
2020-05-01 123456
2020-05-01 12345
May 5 2020 BC
dow 5
2020-05-01 dow
2020-05-01 y
t2020-05-01
allballs
2020-05-01 allballs
zulu
2020-05-01 zulu
2020-05-01 z
1e5
0x10
null
2020-05-01 pm
2020-05-01 1 pm
2020-05-01 1:00 pm
2020-05-01 13:00 pm
2020-05-01 12:00 am
2020-05-01 12 am
99999999999
999999999999999999999999999999
20200229123456
2/29/2020
2/30/2020
29/2/2020
2/2/2
02-03-04
1999-2-29
J1.5 2020
2020 05 01
05 01 2020
5 1 2020
5 1 20
1 2 3 4""".split("\n") + ["", " ", "\t2020-05-01\n", "1 " * 26, "x" * 200, "9" * 130]

CLOCKS = """04:05:06.789
04:05:06
04:05
040506
0405
040506.789
405
4:5
4:5:6
04:05 AM
04:05 PM
4:05pm
12:00 am
12:00 pm
12:30 AM
12:30 PM
13:00 PM
13:00 AM
0:00 pm
0:00 am
04:05:06.789-8
04:05:06-08:00
04:05-08:00
040506-08
040506+0730
040506+07:30
040506+07:30:00
040506+07:30:61
04:05:06 PST
04:05:06 pst
04:05:06 EST5EDT
04:05:06 America/New_York
04:05:06 UTC
04:05:06 Z
04:05:06Z
04:05:06 zulu
04:05:06 GMT+3
04:05:06 UTC-5
04:05:06 <+03>-3
04:05:06 MET DST
04:05:06 EST DST
04:05:06 EDT DST
04:05:06 EDT
04:05:06 DST
04:05:06 MSK
04:05:06 foo
04:05:06 Foo/Bar
04:05:06 +15:59
04:05:06 +16
04:05:06 -15:59:59
04:05:06 -16:00
04:05:06 +1559
04:05:06 +1560
04:05:06 +5
04:05:06 +05
04:05:06 +530
04:05:06 +0530
04:05:06 +053015
04:05:06 +5:3
04:05:06 +5:30:15
04:05:06 +5.5
04:05:06 + 5
04:05:06+
04:05:06--5
04:05:06 +99999999999
00:00
00:00:00
23:59:59.999999
23:59:59.9999999
23:59:59.9999994
23:59:60
23:59:60.5
23:60:00
24:00
24:00:00
24:00:00.0
24:00:01
24:00:00.000001
24:01
25:00
-1:00
1:00:00.5
1:00:00.0000005
1:00:00.0000015
1:00:00.0000025
1:00:00.1234565
1:00:00.
1:00:.5
1:2.5
01:02.5
1::5
1:
:5
1:2:
1:2:3:4
1:2:3.4.5
1.5
12
1
235959
240000
240001
246060
2400
2460
T040506
T04:05:06
t0405
t04
T04:05
at 04:05
on 04:05
04:05 at
04:05 04:05
04:05 0405
h4
h4mm5s6
h4mm5s6.5
h4 mm5
s6.5
12:34:56 BC
allballs
noon
midnight
epoch
infinity
abc
04:05 Mon
04.05.06
04-05-06
04:05:06.1234567890123
99999999999:00
2147483648:00
04:99999999999
4 pm
4pm
12 am
04:05:06 am pm
J2451187
J2451187.5
2024-02-29
20240229
20240229T0405""".split("\n") + ["", " ", " 04:05 ", "\n04:05\t"]

MOMENT_DATES = ["2024-02-29", "Thu Feb 29 2024", "20240229", "0044-03-15 BC"]

TIMESTAMPS = """2024-02-29 12:34:56.123456
2024-02-29 12:34:56.1234567
2024-02-29 12:34:56.1234565
2024-02-29 23:59:59.9999999
2024-02-29T12:34:56
2024-02-29t12:34:56
2024-02-29T12:34:56Z
2024-02-29T12:34:56z
2024-02-29T12:34:56+02
2024-02-29T12:34:56.5+02:30
2024-02-29T12:34:56-0230
2024-02-29 12:34:56 +02
2024-02-29 12:34:56+02:30:15
2024-02-29 12:34:56 -2:30
20240229T123456
20240229T123456Z
20240229T123456.789Z
20240229T1234
20240229T12
20240229T123456-08
20240229T123456-0830
20240229T12:34:56
20240229123456
20240229 123456
20240229 123456.789
20240229 1234
240229 123456
2024-060T12:34:56
2024-060 12:34:56
2024060T123456
2024.060 12:34:56
Feb 29 12:34:56 2024
Feb 29 12:34:56 2024 PST
Feb 29 12:34:56 PST 2024
Thu Feb 29 12:34:56 2024
Thu Feb 29 12:34:56 PST 2024
Thu, 29 Feb 2024 12:34:56 GMT
Thu, 29 Feb 2024 12:34:56 -0800
Thu Feb-29-2024 12:34:56
Feb-29-2024 12:34:56
12:34:56 Feb 29 2024
12:34:56 2024-02-29
12:34:56 29.02.2024
12:34 PM 2024-02-29
2/29/2024 12:34 pm
2/29/24 1:02:03 am
2024-02-29 12:34 America/New_York
2024-02-29 12:34 america/new_york
2024-02-29 12:34 Europe/Berlin
2024-07-01 12:34 Europe/Berlin
2024-02-29 12:34 Asia/Kolkata
2024-02-29 12:34 Asia/Kathmandu
2024-02-29 12:34 Etc/GMT+5
2024-02-29 12:34 UTC
2024-02-29 12:34 GMT
2024-02-29 12:34 EST
2024-07-01 12:34 EST
2024-07-01 12:34 EDT
2024-02-29 12:34 EST5EDT
2024-07-01 12:34 EST5EDT
2024-02-29 12:34 CET
2024-02-29 12:34 CEST
2024-02-29 12:34 MSK
2012-02-29 12:34 MSK
2024-02-29 12:34 MSD
2024-02-29 12:34 IST
2024-02-29 12:34 BST
2024-02-29 12:34 JST
2024-02-29 12:34 SGT
1980-02-29 12:34 SGT
2024-02-29 12:34 NZDT
2024-02-29 12:34 MET DST
2024-02-29 12:34 EST DST
2024-02-29 12:34 EDT DST
2024-02-29 12:34 DST
2024-02-29 12:34 America/New_York DST
2024-02-29 12:34 GMT+8
2024-02-29 12:34 GMT-8
2024-02-29 12:34 UTC+5:30
2024-02-29 12:34 FOO+3
2024-02-29 12:34 FOO-3
2024-02-29 12:34 FOO3
2024-02-29 12:34 XXX
2024-02-29 12:34 X
2024-02-29 12:34 Foo/Bar
2024-02-29 12:34 America
2024-02-29 12:34 +15:59:59
2024-02-29 12:34 +16
2024-02-29 12:34 -15:59:59
2024-02-29 12:34+1 +1
2024-02-29 12:34 EST EST
2024-02-29 EST 12:34
EST 2024-02-29 12:34
America/New_York 2024-02-29 12:34
+02 2024-02-29 12:34
2024-03-10 02:30 America/New_York
2024-03-10 01:59:59 America/New_York
2024-03-10 03:00 America/New_York
2024-11-03 01:30 America/New_York
2024-11-03 00:59:59 America/New_York
2024-11-03 02:00 America/New_York
2024-03-31 02:30 Europe/Berlin
2024-10-27 02:30 Europe/Berlin
2014-10-26 01:30 Europe/Moscow
2011-12-30 12:00 Pacific/Apia
1883-11-18 12:03:58 America/New_York
1883-11-18 12:03:57 America/New_York
1800-01-01 America/New_York
1800-01-01 12:00 Europe/Berlin
2024-02-29 12:34 X+3
2024-02-29 12:34 foo/bar-3
2024-02-29 12:34 FOO3BAR
2024-07-01 12:34 FOO3BAR
2024-02-29 12:34 FOO+24
2024-02-29 12:34 FOO+3:30:15
2024-02-29 12:34 FOO+x
2024-02-29 h m5 12:34
y m5 2024
infinity infinity
infinity epoch
infinity J2451187
infinity abc
0044-03-15 12:00 Europe/Rome BC
2024-02-29
2024-02-29 BC
2024-02-29 12:34 BC
2024-02-29 BC 12:34
0001-01-01 00:00 BC
0001-01-01 00:00:00+15 BC
4713-01-01 00:00:00 BC
4714-11-24 00:00:00 BC
4714-11-23 23:59:59.999999 BC
4714-11-24 00:00:00+00 BC
4714-11-24 00:00:00+01 BC
4714-11-23 23:00:00-01 BC
4714-11-23 00:00:00 BC
294246-12-31 23:59:59.999999
294247-01-10 04:00:54.775806
294247-01-10 04:00:54.775807
294247-01-11
294276-12-31 23:59:59.999999
294277-01-01 00:00:00
294277-01-01 00:00:00+15
294277-12-31
5874897-12-31
5874898-06-03
9999-12-31 23:59:59.999999
10000-01-01 00:00:00
12345-06-07 08:09:10
123456-06-07 08:09:10
infinity
-infinity
+infinity
Infinity
infinity UTC
infinity 12:00
2024-02-29 infinity
epoch
epoch UTC
allballs
2024-02-29 allballs
2024-02-29 24:00
2024-02-29 24:00:00.000001
2024-12-31 24:00
2024-12-31 23:59:60
2024-12-31 23:59:60.5
2024-12-31 23:59:60.9999999
2024-12-31 235960
2024-12-31 T256199
2024-12-31 T240000
2024-12-31T246060
2024-02-29 12
2024-02-29 1 2 3
2024-02-29 12:34 56
2024-02-29 12.34
2024-02-29 1234.5
2024-02-29 123456.5
2024-02-29 12345.5
2024-02-29 .5
2024-02-29 T
2024-02-29 T12:34 T
2024-02-29 T T12:34
T12:34 2024-02-29
J2460370 12:34
J2460370.5
J2460370.25+02
J2460370+02
J2460370-08
J2460370 -08
J2460370T12
J2460370T1234
Y2024M02D29H12MM34S56
y2024m02d29h12m34s56.5
Y2024M02D29 12:34
2024-02-29 h12
2024-02-29 h12 mm34
2024-02-29 s5.5
2024-02-29 h25
2024-02-29 h12.5
2024-02-29 y 12:34
2024-02-29 dow 12:34
2024-02-29 isoyear 5
12:34
12:34:56 PST
PST
2024
02-29 12:34
2024-13-29 12:34
2024-02-30 12:34
30/02/2024 12:34
2024-02-29 12:60
2024-02-29 12:34:61
2024-02-29 am
2024-02-29 12:34 am pm
2024-02-29 12:34 12:34
2024-02-29 2024-02-29
2024-02-29 Feb
Feb 29 2024 Feb
97/02/16
Feb 16 17:32:01 97
97.047 17:32:01
97047 17:32:01
1997.047
97FEB10 5:32:01PM UTC
97FEB10
Feb 10 5:32PM 1997
2001-09-22T18:19:20
2001-2-3T04:05
2000-03-15 08:14:01 GMT+8
2000-03-15 13:14:02 GMT-1
2000-03-15 12:14:03 GMT-2
2000-03-15 03:14:04 PST+8
2000-03-15 02:14:05 MST+7:00
Wed Jul 11 10:51:14 America/New_York 2001
Wed Jul 11 10:51:14 GMT-4 2001
Wed Jul 11 10:51:14 GMT+4 2001
Wed Jul 11 10:51:14 PST-03:00 2001
Wed Jul 11 10:51:14 PST+03:00 2001
Tue Feb 16 17:32:01 97 BC
Mon Feb 10 17:32:01 1997 PDT
1997-06-10 17:32:01 -07:00
1997-01-02 03:04:05-08
Feb-10-1997 17:32:01 -08
Feb-10-1997 17:32:01 PST
Feb-10-1997 17:32:01-0800
Feb 10 17:32:01 1997 -0800
Feb 35 17:32:01 1997 -0800
20011227 040506
20011227 040506+08
20011227 040506-08
20011227 040506.789
20011227 040506.789+08
20011227T040506+08
20011227T040506-08
20011227T040506.789+08
20011227T040506.789-08
2001-12-27 04:05:06.789-08
2001.12.27 04:05:06.789-08
2001/12/27 04:05:06.789-08
12/27/2001 04:05:06.789-08
December 27, 2001 04:05:06.789-08
27-12-2001 04:05:06.789 MET DST
27/12/2001 04:05:06.789-08
27.12.2001 04:05:06.789-08
1999-Jan-08 04:05:06 PST
1999 Jan 08 04:05:06 PST
99-08-Jan 04:05:06
08-99-Jan 04:05:06
Jan 99 08
Jan-99-08
99-Jan-8
2024-02-29 12:34 abc
2024-02-29abc
2024-02-29 12:34:56é
2024-02-29 12:34:56;
2024-02-29, 12:34:56
[2024-02-29 12:34:56]
2024-02-29 @ 12:34
2024-02-29 on 12:34
2024-02-29_12:34
2024-02-29-12:34
2024-02-29-12:34:56
2024-02-29 12:34:56.789.1
2024-02-29 12:34:56,789
2024-02-29 99999999999
2024-02-29 12:99999999999
2024-02-29 99999999999:00
99999999999-01-01
2024-99999999999-01
20249999999999-01-01""".split("\n") + ["", " ", " 2024-02-29 12:34 ", "2024-02-29\n12:34", "2 " * 80]

UNITS = """us usec usecs usecond useconds microsec microsecs microsecon ms msec msecs msecond mseconds millisec millisecs s sec secs second seconds m min mins minute minutes h hr hrs
hour hours d day days w wk wks week weeks mon mons month months q qtr qtrs quarter quarters y yr yrs year years dec decs decade decades c cent cents century
centuries mil mils mill millennium millennia millenniums timezone timezone_h timezone_m tz dow doy julian isoyear epoch at on ago now today am noon jan""".split()

INTERVALS = """1 year 2 mons
1 year 2 months 3 days 4 hours 5 minutes 6 seconds
1y 2mon 3d 4h 5m 6s
1 y 2 mon 3 d 4 h 5 m 6 s
1 yr 1 yrs
1yr
@ 1 year 2 mons -3 days 4 hours 5 mins 6.7 secs ago
@ 1 minute
@ 14 seconds ago
1 day 2 hours 3 minutes 4 seconds
5 months 12 hours
6 years
34 years
3 months
-1 days
-1 day +02:03
-1 days -02:03
1 -02:03
1 +02:03
1 02:03
3 4:05:06.789
3 days 04:05:06
-3 4:05:06
+3 4:05:06
4:05:06 3
04:05:06
04:05
4:05
-04:05:06
+04:05:06
-04:05
04:05.5
-04:05.5
04:05:06.7
04:05:06.7891234
04:05:06.9999999
100:00:00
100:59:59
100:60:00
1:2:61
1:2:60
2562047:47:16.854775
2562047:47:16.854776
2562047788:00:54.775807
2562047788:00:54.775808
-2562047788:00:54.775808
9223372036854775807 us
9223372036854775 us
9223372036854776 us
9223372036854775808 us
-9223372036854775808 us
1-2
-1-2
+1-2
1-12
1-11
1-2 3
1-2 3 4:05:06
1-2 3 -4:05:06
-1-2 +3 -4:05:06
-1-2 -3 -4:05:06
1-2-3
1- 2
0-0
178956970-7
178956970-8
-178956970-8
178956971-0
1.5 years
1.25 years
1.04 years
1.05 years
1.5 months
1.55 months
1.999 months
1.5 weeks
1.5 days
1.5 hours
1.5 minutes
1.5 seconds
1.5 milliseconds
1.5 microseconds
2.5 microseconds
0.5 us
0.50001 us
-0.5 us
-0.6 us
1.5 decades
1.5 centuries
1.5 millennia
-1.5 years
-1.5 months
-1.5 weeks
-1.5 days
-1.5 hours
0.1 mons
0.001 years
.5 hours
-.5 hours
+.5 hours
5. hours
1 century
1 centuries
2 c
2 cent
1 decade
1 dec
2 decs
1 decades
1 millennium
1 mil
2 mils
1 millennia
1 week
2 weeks
2 w
1 quarter
1 qtr
1 hr 2 hrs
2 hrs
2 mins
2 secs
2 msecs
2 ms
2 usecs
2 us
2 microseconds
2 milliseconds
2 millisecondsfoo
2 microsecond
2 millisecond
2 millennialfoo
5
-5
5.5
-5.5
0
-0
5 seconds 5
5 5
5 hours 5
5 hour 5 hour
1 year 1 y
1 day 1 d
1 day 2 days
1 sec 2 ms
1.5 sec 2 ms
1.5 sec 2 us
1 ms 1 us
1 min 04:05
1 hour 04:05
1 day 04:05
04:05 1 day
1 week 1 day
1 year 12 mons
1 mon ago
ago
1 year ago 2 mons
ago 1 year
1 year ago ago
year
years 1
1 year year
1 year mons
day 1
1 fortnight
1 foo
foo
1 foo ago
1 year foo
@
@ 0
@ 1
1 dow
1 timezone
1 epoch
infinity
-infinity
now
today
allballs
1 am
1 bc
1 t
P1Y
P1Y2M3DT4H5M6S
P1Y2M3DT4H5M6.7S
P2Y6M7DT1H30M
PT1H
PT1M
P1M
PT0S
P0D
P1W
P1W2D
P1.5Y
P1.5M
P1.5W
P1.5D
PT1.5H
PT1.5M
PT1.5S
P-1Y
P-1Y-2M-3DT-4H-5M-6.7S
P1Y-2M
PT-0.5S
PT-.5S
PT.5S
P+1Y
-P1Y
P0001-02-03T04:05:06
P0001-02-03
P0001-02
P0001
P1
P1-2
P1-2-3
P1-2-3T4
P1-2-3T4:5
P1-2-3T4:5:6
P1-2-3T4:5:6.7
P1-2-3T4:5:6:7
P-1-2-3
P1-2-3-4
P00010203T040506
P00010203
P00010203T040506.789
P00010203T04
P20240229T
PT040506
PT04:05:06
PT04:05
PT04
PT1
P
PT
PTT1H
P1YT
P1Y2
P1S
PT1Y
PT1D
PT1H2H
P1Y1Y
p1y
P1y
P 1Y
P1Y 
P1Y2M foo
P1e2Y
P1e1D
PT1e-3S
P1e16Y
P1e400Y
P99999999999Y
P178956970Y7M
P178956971Y
P178956970Y8M
PT2562047H
PT2562048H
PT9223372036854.775807S
P2147483647D
P2147483648D
P-2147483648D
P1Y2W
2147483647 days
2147483648 days
-2147483648 days
-2147483649 days
2147483647 months
2147483648 months
-2147483648 months
178956970 years 7 months
178956970 years 8 months
178956971 years
2147483647 years
306783378 weeks
306783379 weeks
9223372036854775807 hours
2562047 hours
2562048 hours
99999999999 days
99999999999999999999 days
1 year 2147483647 months
1 day 2:03:04.5
1 2:03:04
1 2:03
1 2
1 2 3
1 day 2
12:34:56 ago
-12:34:56 ago
1 mon -1 day
-1 mon 1 day
-1 mon +1 day
1 mon -1 day -00:00:01
-1 mon 1 day 00:00:01
1 year -1 mon
-1 year 1 mon
13 mons
-13 mons
11 mons
-11 mons
1 year -1 days 01:00
0 years 1 day
1 sec -1 ms
-00:00:00.5
00:00:00.000001
-00:00:00.000001
1 days 24:00:00
1d2h
1d 2h3m
1mon2days
2024-02-29
2024-2
1/2
1.2.3
1.2.3 days
--1 day
- 1 day
+ 1 day
-  1:00
1day
1days2hours
one day
1 day, 2 hours
1 day; 2 hours
1_000 days
1e3 days
1e3
0x10 days
1 hour 30 min 15.5 sec
8 hours 20.5 minutes
1:30 hours
1 hours 1:30
1 s 1 s
178956971 years -1-2
1--28 hours
1--0 hours
-5 ago
1 ago mon
1 mon 0ago
on 1 day
quarter 1""".split("\n") + [f"{n}{unit}" for n in ("3 ", "-0.5", "1.5 ") for unit in UNITS] + ["", " ", " 1 day ", "\t1\nday", "1 " * 26, "1 day" + " " * 300, "1" * 300]

ZONES = ["America/New_York", "Asia/Kolkata", "Europe/Berlin", "Europe/Moscow", "Australia/Lord_Howe", "Pacific/Apia"]
ZONED = """2024-02-29 12:34:56
2024-07-01 12:34:56
2024-07-01 12:34:56Z
2024-07-01 12:34:56+05:30
2024-07-01
20240701T123456
Jul 1 2024 1:02 pm
1800-01-01 00:00:00
0001-01-01 00:00:00
0044-03-15 BC
4714-11-24 00:00:00+00 BC
1970-01-01 00:00:00
1901-12-13 20:45:52Z
2037-12-31 23:59:59
2038-01-19 03:14:08
2500-07-01 12:00:00
9998-07-01 12:00:00
9999-12-31 23:59:59.999999
10000-07-01 12:00:00
12345-01-01 12:00:00
294246-07-01 12:00:00
2024-03-10 02:30:00
2024-11-03 01:30:00
2024-11-03 05:30:00Z
2024-11-03 06:30:00Z
2024-03-31 02:30:00
2024-10-27 02:30:00
2011-12-30 12:00:00
2011-12-29 12:00:00
2011-12-31 12:00:00
2014-10-26 01:30:00
2010-10-31 02:30:00
2024-04-07 01:45:00
2024-10-06 02:15:00
1945-05-24 02:30:00
1893-04-01 00:00:00
infinity
-infinity
epoch
allballs
2024-07-01 12:34 EST
2024-07-01 12:34 MSK
2024-07-01 12:34 America/Los_Angeles""".split("\n")


def words(text):
    """Words of a list; a bar inside one stands for a blank."""
    return [word.replace("|", " ") for word in text.split()]


def text(seed=None):
    """(zone, type, input) for every input there is."""
    cases = []

    def add(types, inputs, zone="UTC"):
        cases.extend((zone, t, value) for t in types for value in dict.fromkeys(inputs) if "\0" not in value and "\\x00" not in value[-5:-1])

    add(["boolean"], words(BOOL) + ["", " ", " true ", "\tf\n", "on ", "t rue", "1 0"])
    add(["smallint", "integer", "bigint"], words(INT) + INT_SPACED)
    add(["real", "double precision"], words(FLOAT) + FLOAT_SPACED)
    add(NUMERICS, words(NUMERIC) + NUMERIC_SPACED)
    add(["text", "character varying(3)", "character(3)", "character varying(1)", "character(1)"], STRINGS)
    add(["bytea"], BYTEA)
    add(["uuid"], words(UUID) + UUID_SPACED)
    add(["date"], DATES)
    add(["time without time zone"], CLOCKS + [f"2024-02-29 {clock}" for clock in CLOCKS] + DATES[:40])
    moments = TIMESTAMPS + [f"{date} {clock}" for date in MOMENT_DATES for clock in CLOCKS] + DATES
    add(["timestamp without time zone"], moments)
    add(["timestamp with time zone"], moments)
    add(["interval"], INTERVALS)
    for zone in ZONES:
        add(["timestamp with time zone"], ZONED, zone)
    if seed is not None:
        chance = random.Random(seed)
        add(["double precision", "real"], [random_float(chance) for _ in range(3000)])
        add(NUMERICS, [random_numeric(chance) for _ in range(500)])
        dates = DATES + TIMESTAMPS + CLOCKS
        add(["timestamp with time zone", "timestamp without time zone", "date", "time without time zone"],
            [mutated(chance, dates) for _ in range(3000)])
        add(["interval"], [mutated(chance, INTERVALS) for _ in range(4000)])
        add(["uuid", "bytea"], [mutated(chance, words(UUID) + BYTEA) for _ in range(500)])
        for zone in ZONES:
            add(["timestamp with time zone"], [random_moment(chance) for _ in range(500)], zone)
    return cases


def random_float(chance):
    kind = chance.randrange(4)
    if kind == 0:
        return repr(chance.uniform(-1, 1) * 10.0 ** chance.randint(-320, 308))
    if kind == 1:
        return repr(float(chance.getrandbits(chance.randint(1, 80))))
    if kind == 2:
        return f"{chance.randint(-10**18, 10**18)}e{chance.randint(-340, 300)}"
    return f"{chance.randint(-10**9, 10**9)}e{chance.randint(-50, 40)}"


def random_numeric(chance):
    digits = "".join(chance.choice("0123456789") for _ in range(chance.randint(1, 45)))
    point = chance.randint(0, len(digits))
    exponent = f"e{chance.randint(-45, 45)}" if chance.random() < 0.5 else ""
    return chance.choice(["", "-"]) + digits[:point] + "." + digits[point:] + exponent


def random_moment(chance):
    year = chance.choice([chance.randint(1850, 2040), chance.randint(1, 9999), chance.randint(10000, 294000)])
    clock = f"{chance.randrange(24):02}:{chance.randrange(60):02}:{chance.randrange(60):02}"
    return f"{year:04}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02} {clock}{chance.choice(['', 'Z', '.5'])}"


def mutated(chance, inputs):
    """Two inputs cut and joined, or one with a part dropped, repeated or replaced."""
    value = chance.choice(inputs)
    for _ in range(chance.randint(1, 3)):
        at, end = sorted((chance.randint(0, len(value)), chance.randint(0, len(value))))
        kind = chance.randrange(5)
        if kind == 0:
            value = value[:at] + value[min(end, at + 3):]
        elif kind == 1:
            value = value[:at] + chance.choice("0123456789-+:./ tTzZdbp@,") + value[at:]
        elif kind == 2:
            other = chance.choice(inputs)
            value = value[:at] + other[chance.randint(0, len(other)):]
        elif kind == 3:
            parts = value.split(" ")
            chance.shuffle(parts)
            value = " ".join(parts)
        else:
            value = value + " " + chance.choice(inputs)
    return value[:120].replace("\\x00", "")


NUMBERS = ["0", "1", "-1", "0.5", "1.5", "2.5", "-0.5", "-1.5", "-2.5", "0.49999999999999994", "32767", "32767.4", "32767.5", "32768", "-32768", "-32768.5", "-32769",
           "2147483647", "2147483647.4", "2147483647.5", "2147483648", "-2147483648", "-2147483648.5", "-2147483649", "9223372036854775807", "9223372036854775808",
           "-9223372036854775808", "-9223372036854775809", "9223372036854774784", "1e10", "1e18", "1e19", "99.995", "999.994", "999.995", "1000", "123.456", "0.1", "33.333333333333333",
           "1e-10", "12345678.9", "1e37", "1e38", "1e39", "16777217", "0.005", "0.015", "1234567.891", "3.4e38", "3.5e38", "1e-46", "1e300", "1e-300", "NaN", "Infinity", "-Infinity"]
NUMBER_TYPES = ["smallint", "integer", "bigint", "real", "double precision", "numeric(38,18)", "numeric(5,2)", "numeric(3,3)", "numeric(10,0)"]
MOMENTS = {
    "date": ["2024-02-29", "0044-03-15 BC", "infinity", "-infinity", "294247-01-10", "294277-01-01", "4714-11-24 BC", "5874897-12-31"],
    "time without time zone": ["00:00", "12:34:56.789", "24:00"],
    "timestamp without time zone": ["2024-02-29 12:34:56.789", "1969-12-31 23:59:59.999999", "0044-03-15 01:02:03 BC", "infinity", "-infinity",
                                    "294246-12-31 23:59:59.999999", "4714-11-24 BC", "2024-03-10 02:30", "2024-11-03 01:30"],
    "timestamp with time zone": ["2024-02-29 12:34:56.789Z", "1969-12-31 23:59:59.999999Z", "0044-03-15 01:02:03Z BC", "infinity", "-infinity",
                                 "4714-11-24 00:00:00Z BC", "2024-03-10 02:30Z", "2024-11-03 01:30Z"],
    "interval": ["1 year", "1 day 25:00", "-1:00", "12:34:56.789", "0", "-25:30", "2 mons -3 days 04:05:06"],
}
OTHERS = {"boolean": ["t", "f"], "bytea": ["\\x0aff"], "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]}
ALL_TYPES = ["boolean", "smallint", "integer", "bigint", "real", "double precision", "numeric(38,18)", "text", "character varying(30)", "character(30)",
             "bytea", "date", "time without time zone", "timestamp without time zone", "timestamp with time zone", "interval", "uuid"]


def coercions():
    """(zone, source type, input, target type) for every pair of types that PostgreSQL's users meet in an assignment."""
    cases = []
    for source, to in itertools.product(NUMBER_TYPES, NUMBER_TYPES):
        for value in NUMBERS:
            if fits(source, value):
                cases.append(("UTC", source, value, to))
    strings = ["text", "character varying(5)", "character(5)", "character varying(60)"]
    for source in NUMBER_TYPES:
        for value in ["1", "-1.5", "0.25"]:
            if fits(source, value):
                cases.extend(("UTC", source, value, to) for to in strings)
    for (source, values), to in itertools.product({**MOMENTS, **OTHERS}.items(), ALL_TYPES + ["character varying(5)", "character(60)"]):
        cases.extend(("UTC", source, value, to) for value in values)
    for source in NUMBER_TYPES:
        cases.extend(("UTC", source, "0.5" if source == "numeric(3,3)" else "1", to) for to in ALL_TYPES)
    for zone in ZONES[:3]:
        for (source, values), to in itertools.product(MOMENTS.items(), MOMENTS):
            cases.extend((zone, source, value, to) for value in values)
        cases.extend((zone, "timestamp with time zone", value, "text") for value in MOMENTS["timestamp with time zone"])
    return list(dict.fromkeys(cases))


def fits(source, value):
    """Whether the literal is a value of the source type at all; the text cases cover those that are not."""
    if value in ("NaN", "Infinity", "-Infinity"):
        return source in ("real", "double precision")
    number = float(value)
    if source in ("smallint", "integer", "bigint"):
        bits = {"smallint": 15, "integer": 31, "bigint": 63}[source]
        return "." not in value and "e" not in value and -(2**bits) <= int(value) < 2**bits
    if source == "real":
        return abs(number) < 3.4e38 and (number == 0 or abs(number) > 1e-45)
    if source.startswith("numeric"):
        precision, scale = (int(part) for part in source[8:-1].split(","))
        return abs(number) < 10 ** (precision - scale) * 0.99
    return True
