import setuptools

setuptools.setup(name="old-lib", version="1.0", install_requires=["six"])
