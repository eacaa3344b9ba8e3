{{ harvest.stitch('invoice_item_categories') }}
