-- The access paths beside the primary keys: customers by last name in order of first name, a customer's newest order.
create index customer_by_last_name on customer (c_w_id, c_d_id, c_last, c_first);
create index orders_by_customer on orders (o_w_id, o_d_id, o_c_id, o_id);
