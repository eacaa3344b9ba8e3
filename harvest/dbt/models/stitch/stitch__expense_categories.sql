{{ harvest.stitch('expense_categories') }}
