{{ harvest.stitch('estimate_item_categories') }}
