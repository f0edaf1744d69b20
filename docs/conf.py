"""Settings of Sphinx. Nothing is loaded from other hosts: the theme's styles and scripts lie beside the pages."""

project = "autodp_ray"
html_title = "autodp_ray"
copyright = "the autodp_ray authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 100
html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
