-- literals
1
-1
2147483647
2147483648
-2147483648
9223372036854775807
9223372036854775808
1.5
-0.05
1e3
'text'
null
true
date '1998-12-01'
timestamp '2001-02-16 20:38:40'
time '12:34:56'
interval '90' day
interval '1-2' year to month
interval '1 year 2 months 3 days'
-- integer arithmetic
i4 + 1
i4 + i2
i2 + i2
i2 * i2
i4 * i8
i8 + i8
i4 - 43
i4 / 5
-i4 / 5
i4 % 5
-i4 % 5
mod(i4, 5)
i4 / 0
i4 % 0
2147483647 + 1
2147483647 + i4
-2147483648 - i4
i4 * 1000000000
i8 * 9000000000
9223372036854775807 + i8
32767::smallint + i2
i2 * 10000::smallint
(-2147483648)::integer / -1
i4 & 15
i4 | 1
i4 # 3
~i4
i4 << 2
i4 >> 1
-i2
-i8
- (-i4)
abs(-i4)
abs(n - 2000)
+i4
-- numeric arithmetic
n + 1
n - 0.005
n * 1.5
n * n
n / 3
n / 0
n % 7
1 - 0.06
1.1 + 2.22
0.1 * 0.1
1.0 / 3
10.0 / 4
2 / 3.0
i4 * 0.1
i4 + n
n0 * n
n0 / 7
n * 0
-n
12345678901234567890 * 10
99999999999999999999999999999999999999 + 0
0.06 - 0.01
-- floats
f8 + 1
f8 * f4
f4 + f4
f4 * 2
f4 + n
f8 / 0
f8 - 2.25
1e308::float8 * 10
f8 ^ 2
2 ^ 10
2 ^ 0.5
-f8
f8 + i8
0.1::float8 + 0.2::float8
'NaN'::float8
'Infinity'::float8 - 1
'1e400'::float8
-- comparisons
i4 = 42
i4 = '42'
i4 = 42.0
i4 <> 42
i4 < i8
i2 >= 7
n = 1234.56
n = '1234.56'
n > 1234.555
n < i8
f4 = 1.5
f4 = n
f8 > n
t = 'Hello, World'
t < 'a'
t = vc
ch = 'abc'
ch = 'abc  '
ch = 'abcd'
ch = vc
ch < 'abd'
'abc' = ch
ch = 'abc'::text
b = true
b = 't'
b
not b
b and null
null and false
null or true
null = null
nul = 1
nul is null
nul is not null
t is null
i4 is distinct from 42
nul is distinct from null
nul is not distinct from null
d = '1995-03-15'
d < date '1998-12-01' - interval '90' day
d < timestamp '1995-03-15 00:00:01'
d = ts
ts > d
ts > '2001-01-01'
tz > '2001-01-01'
tz = ts
tm < '14:00'
iv > interval '1 year'
iv = interval '14 mons 3 days 04:05:06'
interval '1 month' = interval '30 days'
u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'
u > 'a0000000-0000-0000-0000-000000000000'
by = '\x00ff10'
i4 = 'abc'
i4 = t
d = 5
b = 1
t = 5
i4 between 1 and 50
i4 not between 1 and 50
d between '1995-01-01' and '1996-01-01'
n between 1000 and 2000.5
i4 in (1, 42)
i4 in ('1', '42')
i4 not in (1, 2)
i4 in (1, null)
ch in ('abc', 'x')
t in ('a', 'Hello, World')
d in ('1995-03-15')
n in (1, 1234.56)
(i4, t) = (42, 'Hello, World')
(i4, i2) < (42, 8)
(i4, t) in ((1, 'a'), (42, 'Hello, World'))
b is true
nul is null is true
(i4 > 5) is not false
-- case, coalesce
case when i4 > 5 then 'big' else 'small' end
case when b then 1 else 2.5 end
case when b then i4 else i8 end
case i4 when 42 then 'yes' when 43 then 'no' end
case i4 when 1 then 'yes' end
case when nul = 1 then 1 end
case when b then d else ts end
case when b then 'x' else null end
case when true then 1 else 1 / 0 end
case when i4 = 42 then i4 else i4 / 0 end
case when b then '1' else 2 end
coalesce(nul, 5)
coalesce(nul, i8)
coalesce(nul, n)
coalesce(nult, 'x')
coalesce(null, null, 3)
coalesce(i4, 1 / 0)
coalesce(d, ts)
coalesce(nult, 5)
nullif(i4, 42)
nullif(i4, 1)
nullif(t, 'x')
greatest(1, i4, nul)
greatest(1, 2.5)
greatest(d, '2000-01-01')
least(i4, i8, 3)
least(t, 'A')
greatest(null, null)
-- casts
i4::bigint
i8::integer
i4::smallint
70000::smallint
i4::text
i4::numeric
i4::numeric(10,2)
i4::float8
i4::boolean
0::boolean
b::integer
b::text
n::integer
2.5::integer
3.5::integer
-2.5::integer
2.5::float8::integer
3.5::float8::integer
n::float8
n::text
n::numeric(6,1)
n::numeric(4,2)
'123'::integer
' 123 '::integer
'abc'::integer
'99999999999'::integer
'1.5'::numeric
'1.5'::numeric(10,3)
'12.345'::numeric(5,2)
'1.5'::float8
'abc'::float8
'true'::boolean
'yes'::boolean
'maybe'::boolean
f8::text
f4::text
f8::numeric
f8::integer
0.1::float4::float8
1e20::float8::integer
t::varchar(5)
t::char(3)
'a'::char(3)
'abcdef'::varchar(3)
ch::text
ch::varchar(2)
length(ch::text)
d::text
d::timestamp
d::timestamptz
ts::date
ts::time
ts::timestamptz
tz::timestamp
tz::date
tz::text
ts::text
tm::text
iv::text
u::text
by::text
tm::interval
interval '25:00'::time
'2001-02-16'::date
'2001-02-30'::date
'yesterdayx'::date
'20010216'::date
'Feb 16 2001'::date
'2001-02-16 20:38:40.12'::timestamp
'2001-02-16T20:38:40Z'::timestamptz
'12:34'::time
'1 day 2 hours'::interval
'P1Y2M'::interval
'a0eebc999c0b4ef8bb6d6bb9bd380a11'::uuid
'xyz'::uuid
'\x1234'::bytea
i4::date
b::date
d::integer
cast(i4 as text)
cast('5' as smallint)
null::integer
null::text
-- dates
d + 1
1 + d
d - 1
d - date '1995-01-01'
d + interval '1 month'
d - interval '1 day'
d + i4
d + tm
d + '1 day'::interval
date '1998-12-01' - interval '90' day
date '1995-01-31' + interval '1 month'
date '1995-01-01' + interval '3' month
ts + interval '1 hour'
ts - ts
ts - timestamp '2001-01-01'
ts - d
tz - interval '1 day'
tz - tz
tz + iv
ts + iv
ts - interval '1 year 1 month'
tm + interval '12 hours'
tm - interval '14 hours'
tm - time '01:00'
iv + interval '1 day'
iv - interval '1 year'
iv * 2
iv * 0.5
2 * iv
iv / 2
-iv
interval '1 day' * 1.5
extract(year from d)
extract(month from d)
extract(day from d)
extract(dow from d)
extract(doy from d)
extract(week from d)
extract(quarter from d)
extract(epoch from d)
extract(century from d)
extract(hour from ts)
extract(second from ts)
extract(milliseconds from ts)
extract(epoch from ts)
extract(epoch from iv)
extract(day from iv)
extract(month from iv)
extract(minute from tm)
extract(hour from tz)
extract(timezone from tz)
extract(isodow from ts)
extract(julian from d)
extract(year from interval '3 years')
extract(hour from d)
date_part('year', d)
date_part('second', ts)
date_part('fortnight', ts)
date_trunc('month', ts)
date_trunc('year', d)
date_trunc('hour', tz)
date_trunc('week', ts)
date_trunc('quarter', ts)
date_trunc('day', iv)
age(ts, timestamp '1995-03-15')
age(d, '1990-01-01')
make_date(2013, 7, 15)
make_date(2013, 13, 1)
make_time(8, 15, 23.5)
make_timestamp(2013, 7, 15, 8, 15, 23.5)
isfinite(d)
isfinite('infinity'::timestamp)
justify_days(interval '35 days')
justify_hours(interval '27 hours')
to_timestamp(1284352323)
to_date('05 Dec 2000', 'DD Mon YYYY')
to_timestamp('05 Dec 2000', 'DD Mon YYYY')
ts at time zone 'UTC'
tz at time zone 'America/New_York'
ts at time zone 'Europe/Berlin'
tz at time zone interval '2 hours'
to_char(ts, 'YYYY-MM-DD HH24:MI:SS')
to_char(ts, 'Day, DD Month YYYY')
to_char(ts, 'FMDay, FMDD FMMonth YYYY')
to_char(d, 'YYYY-MM')
to_char(ts, 'HH12:MI:SS AM')
to_char(ts, 'MS US')
to_char(ts, 'DDD WW IW Q D ID')
to_char(ts, 'Dy DD Mon YY')
to_char(ts, 'DDth')
to_char(iv, 'YYYY-MM-DD HH24:MI:SS')
to_char(tm, 'HH24:MI')
to_char(i4, '999')
to_char(n, '9,999.99')
to_char(n, 'FM999999.00')
to_char(-n, '99999.9')
to_char(f8, '9.99')
to_char(125, '999MI')
to_char(485, '9999')
to_char(12, '9990999.9')
to_char(0.1, '0.9')
to_char(12345, '999')
to_char(n, '000000.000')
-- text
t || '!'
'x' || i4
i4 || 'x'
t || i4
t || nult
ch || 'x'
vc || ch || '|'
b || 'x'
d || ''
by || '\xaa'
i4 || i4
length(t)
length(ch)
char_length(t)
octet_length('héé')
length('héé')
bit_length('abc')
length(by)
lower(t)
upper(t)
initcap('hi THOMAS o''neil')
substring(t from 1 for 5)
substring(t, 8)
substring(t from -2 for 5)
substring(t from 3 for 0)
substring(t from 3 for -1)
substring('héllo' from 2 for 2)
substr(t, 2, 3)
substring(ch from 2)
position('World' in t)
position('' in t)
position('x' in t)
strpos(t, 'o')
overlay('Txxxxas' placing 'hom' from 2 for 4)
overlay('Txxxxas' placing 'hom' from 2)
trim('  x  ')
trim(both 'x' from 'xxaxx')
trim(leading 'x' from 'xxaxx')
trim(trailing from 'a  ')
btrim('xyxtrimyyx', 'xyz')
ltrim('zzzytest', 'xyz')
rtrim('testxxzx', 'xyz')
left(t, 3)
left(t, -3)
right(t, 3)
right(t, -3)
lpad('hi', 5, 'xy')
rpad('hi', 5, 'xy')
lpad('hi', 5)
lpad('hello', 2)
repeat('Pg', 4)
repeat('Pg', -1)
replace('abcdefabcdef', 'cd', 'XX')
reverse('abcde')
split_part('abc~@~def~@~ghi', '~@~', 2)
split_part('a,b,c', ',', -1)
split_part('a,b,c', ',', 5)
split_part('a,b,c', ',', 0)
starts_with('alphabet', 'alph')
ascii('x')
ascii('é')
chr(65)
chr(0)
translate('12345', '143', 'ax')
to_hex(2147483647)
to_hex(-1)
concat('abc', 2, null, 22)
concat_ws(',', 'abc', 2, null, 22)
quote_ident('Foo bar')
quote_ident('foo')
quote_literal('O''Reilly')
quote_nullable(null)
md5('abc')
t like 'Hello%'
t like '%o, W%'
t like 'hello%'
t ilike 'hello%'
t not like 'x%'
t like 'H_llo%'
'a%b' like 'a\%b'
'a%b' like 'a!%b' escape '!'
ch like 'abc'
ch like 'abc%'
vc like 'var%'
t like null
i4 like '4%'
t ~ '^Hel+o'
t ~* 'WORLD'
t !~ 'xyz'
t !~* 'world'
t similar to 'Hello%'
t similar to '%(World|Moon)'
t not similar to 'Hello'
regexp_replace('Thomas', '.[mN]a.', 'M')
-- math
round(n)
round(n, 1)
round(n, -2)
round(2.5)
round(-2.5)
round(f8)
round(2.5::float8)
round(3.5::float8)
round(i4)
round(42.4382, 2)
round(n, i2 - 6)
trunc(n)
trunc(n, 1)
trunc(-n, 1)
trunc(f8)
ceil(n)
ceil(-n)
ceil(f8)
ceil(i4)
ceiling(1.1)
floor(n)
floor(-n)
floor(-f8)
sign(-n)
sign(f8)
div(9, 4)
div(n, 7)
power(2, 3)
power(9.0, 3)
power(f8, 2)
sqrt(2)
sqrt(n)
sqrt(-1)
cbrt(27)
exp(1)
ln(2.0)
ln(0)
log(100)
log(2.0, 64.0)
pi()
degrees(0.5)
radians(45.0)
sin(0.5)
cos(0.5)
tan(0.5)
asin(0.5)
asin(2)
atan2(1, 2)
gcd(1071, 462)
lcm(1071, 462)
width_bucket(5.35, 0.024, 10.06, 5)
-- others
pg_typeof(i4)
pg_typeof(n)
pg_typeof(i4 + 1)
pg_typeof('x')
pg_typeof(ts)
current_date > d
now() > tz
num_nulls(1, null, 2)
exists (select 1)
(select max(i4) from v)
(select i4 from v where id = 1)
i4 in (select i4 from v)
i4 = any (array[1, 42])
i4 <> all (array[1, 2])
array[1, 2, 3]
array['a b', null, 'c']
-- aggregates
count(*)
count(nul)
count(distinct i4)
sum(i2)
sum(i4)
sum(i8)
sum(n)
sum(f4)
sum(f8)
sum(n * 2)
sum(distinct i4)
avg(i2)
avg(i4)
avg(i8)
avg(n)
avg(f4)
avg(f8)
avg(nul)
sum(nul)
min(i4)
max(n)
min(t)
max(d)
max(ts)
min(ch)
bool_and(b)
bool_or(not b)
every(b)
string_agg(t, ',')
array_agg(i4)
stddev(f8)
var_pop(f8)
count(*) filter (where i4 > 100)
sum(t)
avg(d)
-- windows
row_number() over ()
rank() over (order by i4)
sum(i4) over (order by id)
lag(i4) over (order by id)
lag(i4, 1, 0) over (order by id)
first_value(t) over (order by id)
ntile(4) over (order by id)
count(*) over ()
avg(n) over (order by id rows between 1 preceding and current row)
-- errors
nosuch
nosuch(1)
lower(1)
v.nosuch
x.i4
lower()

-- LIKE with an escape character
'a_c' like 'a!_c' escape '!'
'abc' like 'a!_c' escape '!'
'50%' like '50#%' escape '#'
'a\c' like 'a\c' escape '!'
'aBc' ilike 'A!BC' escape '!'
'abc' not like 'a!_c' escape '!'
'abc' like 'abc!' escape '!'
'abc' like 'a_c' escape '!!'
