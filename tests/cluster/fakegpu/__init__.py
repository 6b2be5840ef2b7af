"""GPUs that are not there: a device plugin gives them to pods, a stub of NVML shows what they use, files hold both.

The parts, on each node that has them:

    /var/lib/fake-gpus/boards    a device file a GPU (joulebench_api.contracts.device_file), and `control` (nvml_stub)
    /var/lib/fake-gpus/lib       the stub of libnvidia-ml.so.1, which shows these files' energy as NVML does
    the component `gpu-plugin`   tells the kubelet of them, and mounts the files of a container's GPUs into it
"""
