{{ harvest.stitch('estimate_line_items') }}
