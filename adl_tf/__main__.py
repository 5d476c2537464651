"""python -m adl_tf lists the programs; python -m adl_tf NAME runs one."""

from adl_tf.console import main

if __name__ == "__main__":
    main()
