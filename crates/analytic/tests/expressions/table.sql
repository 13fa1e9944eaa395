create table v (
    id integer primary key,
    i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision, n numeric(15,2), n0 numeric(10,0),
    t text, vc varchar(20), ch char(5), b boolean, by bytea,
    d date, tm time, ts timestamp, tz timestamptz, iv interval, u uuid,
    nul integer, nult text
);
insert into v values (
    1, 7, 42, 9000000000, 1.5, 2.25, 1234.56, 100,
    'Hello, World', 'varchar', 'abc', true, '\x00ff10',
    '1995-03-15', '13:14:15.678', '2001-02-16 20:38:40.12', '2001-02-16 20:38:40.12+00', '1 year 2 mons 3 days 04:05:06', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
    null, null
);
