using System.Runtime.InteropServices;

namespace Runai.GpuMemory.Gpu;

/// <summary>A loaded and initialised libnvidia-ml.so.1. Functions answer 0 (NVML_SUCCESS) or NVML's error number. Shut down and unloaded when disposed.</summary>
sealed unsafe class Nvml : IDisposable
{
    const int NameLength = 96;

    readonly nint _library;
    readonly delegate* unmanaged<int> _shutdown;
    readonly delegate* unmanaged<int, byte*> _errorString;

    Nvml(nint library)
    {
        _library = library;
        _shutdown = (delegate* unmanaged<int>)NativeLibrary.GetExport(library, "nvmlShutdown");
        _errorString = (delegate* unmanaged<int, byte*>)NativeLibrary.GetExport(library, "nvmlErrorString");
    }

    /// <summary>Throws <see cref="NvmlException"/> where the library is not NVML or finds no driver; what <see cref="NativeLibrary"/> throws where it does not load.</summary>
    public static Nvml Open(string path)
    {
        var library = NativeLibrary.Load(path);
        try
        {
            var nvml = new Nvml(library);
            nvml.Check("nvmlInit_v2", ((delegate* unmanaged<int>)NativeLibrary.GetExport(library, "nvmlInit_v2"))());
            return nvml;
        }
        catch
        {
            NativeLibrary.Free(library);
            throw;
        }
    }

    public void Dispose()
    {
        _shutdown();
        NativeLibrary.Free(_library);
    }

    public int Count()
    {
        uint count;
        Check("nvmlDeviceGetCount_v2", ((delegate* unmanaged<uint*, int>)NativeLibrary.GetExport(_library, "nvmlDeviceGetCount_v2"))(&count));
        return (int)count;
    }

    public GpuDevice Device(int index)
    {
        nint handle;
        Check("nvmlDeviceGetHandleByIndex_v2",
            ((delegate* unmanaged<uint, nint*, int>)NativeLibrary.GetExport(_library, "nvmlDeviceGetHandleByIndex_v2"))((uint)index, &handle));
        var (total, reserved) = Memory(handle);
        return new GpuDevice(index, Text("nvmlDeviceGetUUID", handle), Text("nvmlDeviceGetName", handle), total, reserved);
    }

    string Text(string function, nint handle)
    {
        var buffer = stackalloc byte[NameLength];
        Check(function, ((delegate* unmanaged<nint, byte*, uint, int>)NativeLibrary.GetExport(_library, function))(handle, buffer, NameLength));
        return Marshal.PtrToStringUTF8((nint)buffer) ?? "";
    }

    /// <summary>By the second version of the call, which drivers from 510 on have; before, what is reserved is not told.</summary>
    (long Total, long Reserved) Memory(nint handle)
    {
        if (NativeLibrary.TryGetExport(_library, "nvmlDeviceGetMemoryInfo_v2", out var v2))
        {
            var memory = new MemoryV2 { Version = (uint)sizeof(MemoryV2) | 2 << 24 };
            if (((delegate* unmanaged<nint, MemoryV2*, int>)v2)(handle, &memory) == 0) return ((long)memory.Total, (long)memory.Reserved);
        }
        MemoryV1 first;
        Check("nvmlDeviceGetMemoryInfo", ((delegate* unmanaged<nint, MemoryV1*, int>)NativeLibrary.GetExport(_library, "nvmlDeviceGetMemoryInfo"))(handle, &first));
        return ((long)first.Total, 0);
    }

    void Check(string call, int result)
    {
        if (result != 0) throw new NvmlException($"{call}: {Marshal.PtrToStringUTF8((nint)_errorString(result))} ({result})");
    }

    struct MemoryV1
    {
        public ulong Total, Free, Used;
    }

    struct MemoryV2
    {
        public uint Version;
        public ulong Total, Reserved, Free, Used;
    }
}

/// <summary>NVML said no.</summary>
sealed class NvmlException(string message) : Exception(message);
