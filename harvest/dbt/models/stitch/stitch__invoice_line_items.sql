{{ harvest.stitch('invoice_line_items') }}
