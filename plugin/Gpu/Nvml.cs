// SPDX-License-Identifier: Apache-2.0
using System.Runtime.InteropServices;

namespace Runai.GpuMemory.Gpu;

/// <summary>A loaded and initialised libnvidia-ml.so.1. Functions answer 0 (NVML_SUCCESS) or NVML's error number. Shut
/// down and unloaded when disposed.</summary>
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

    /// <summary>Throws <see cref="NvmlException"/> where the library is not NVML or finds no driver; what
    /// <see cref="NativeLibrary"/> throws where it does not load.</summary>
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

    /// <summary>Includes GPUs that cannot be read. Throws <see cref="NvmlException"/>.</summary>
    public int Count()
    {
        uint count;
        Check(
            "nvmlDeviceGetCount_v2",
            ((delegate* unmanaged<uint*, int>)NativeLibrary.GetExport(_library, "nvmlDeviceGetCount_v2"))(&count)
        );
        return (int)count;
    }

    /// <summary>Reads a GPU by NVML's index, from 0. Throws <see cref="NvmlException"/> if the GPU is lost or has no
    /// memory of its own.</summary>
    public GpuDevice Device(int index)
    {
        var handle = Handle(index);
        var (total, reserved, _) = Memory(handle);
        return new GpuDevice(
            index,
            Text("nvmlDeviceGetUUID", handle),
            Text("nvmlDeviceGetName", handle),
            total,
            reserved
        )
        {
            IsDivided = IsDivided(handle),
        };
    }

    /// <summary>The version of the driver's kernel module. Throws <see cref="NvmlException"/>.</summary>
    public string DriverVersion()
    {
        var buffer = stackalloc byte[NameLength];
        Check(
            "nvmlSystemGetDriverVersion",
            ((delegate* unmanaged<byte*, uint, int>)NativeLibrary.GetExport(_library, "nvmlSystemGetDriverVersion"))(
                buffer,
                NameLength
            )
        );
        return Marshal.PtrToStringUTF8((nint)buffer) ?? "";
    }

    /// <summary>GPUs and drivers that know of no MIG have none.</summary>
    bool IsDivided(nint handle)
    {
        uint current,
            pending;
        return NativeLibrary.TryGetExport(_library, "nvmlDeviceGetMigMode", out var call)
            && ((delegate* unmanaged<nint, uint*, uint*, int>)call)(handle, &current, &pending) == 0
            && current != 0;
    }

    /// <summary><c>GPU-</c> and a UUID. Throws <see cref="NvmlException"/>.</summary>
    public string Uuid(int index) => Text("nvmlDeviceGetUUID", Handle(index));

    /// <summary>Memory that is in use by everybody, in bytes. Before <c>nvmlDeviceGetMemoryInfo_v2</c> the driver's
    /// own reserve is part of it.</summary>
    public long Used(int index) => Memory(Handle(index)).Used;

    /// <summary>Percent of the time since then that processes kept the multiprocessors busy, by their PIDs in our
    /// namespace; null where the driver has no such figures (MIG, virtual GPUs, old drivers).</summary>
    public IReadOnlyDictionary<int, int>? Percents(int index, DateTimeOffset since)
    {
        const int NotFound = 6, // no process did
            Insufficient = 7,
            MaxRows = 1 << 16;
        if (!NativeLibrary.TryGetExport(_library, "nvmlDeviceGetProcessUtilization", out var call))
            return null;
        var handle = Handle(index);
        var micros = (ulong)(since.ToUnixTimeMilliseconds() * 1000);
        for (uint room = 64; ; room *= 4)
        {
            var rows = new UtilizationSample[room];
            var count = room;
            int result;
            fixed (UtilizationSample* first = rows)
                result = ((delegate* unmanaged<nint, UtilizationSample*, uint*, ulong, int>)call)(
                    handle,
                    first,
                    &count,
                    micros
                );
            if (result == Insufficient && room < MaxRows)
                continue;
            if (result is not (0 or NotFound))
                return null;
            var percents = new Dictionary<int, int>();
            if (result == 0)
                foreach (var row in rows.AsSpan(0, (int)Math.Min(count, room)))
                    percents[(int)row.Pid] = (int)Math.Min(row.Multiprocessors, 100);
            return percents;
        }
    }

    /// <summary>Processes that have something on a GPU, by their PIDs in our namespace, and the bytes that the driver
    /// counts for each. Those that it tells no bytes of are left out.</summary>
    public IReadOnlyDictionary<int, long> Processes(int index)
    {
        var handle = Handle(index);
        var bytes = new Dictionary<int, long>();
        foreach (
            var kind in (string[])["nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses"]
        )
        foreach (var (pid, used) in List(kind, handle))
            // one that does both is on both lists, with the same figure
            bytes[pid] = Math.Max(used, bytes.GetValueOrDefault(pid));
        return bytes;
    }

    /// <summary>By the newest version of the call; the first one has shorter rows.</summary>
    List<(int Pid, long Bytes)> List(string function, nint handle)
    {
        const int MaxRows = 1 << 16,
            Insufficient = 7;
        var (call, name, row) = Newest(function);
        for (uint room = 64; ; room *= 4)
        {
            var rows = new byte[room * row];
            var count = room;
            int result;
            fixed (byte* first = rows)
                result = ((delegate* unmanaged<nint, uint*, byte*, int>)call)(handle, &count, first);
            if (result == Insufficient && room < MaxRows)
                continue;
            Check(name, result);
            var found = new List<(int, long)>();
            for (var at = 0; at < count * row; at += row)
                if (BitConverter.ToInt64(rows, at + 8) is >= 0 and var used)
                    found.Add((BitConverter.ToInt32(rows, at), used));
            return found;
        }
    }

    (nint Call, string Name, int RowBytes) Newest(string function)
    {
        foreach (var version in (string[])["_v3", "_v2"])
            if (NativeLibrary.TryGetExport(_library, function + version, out var call))
                return (call, function + version, 24);
        return (NativeLibrary.GetExport(_library, function), function, 16);
    }

    nint Handle(int index)
    {
        nint handle;
        Check(
            "nvmlDeviceGetHandleByIndex_v2",
            ((delegate* unmanaged<uint, nint*, int>)NativeLibrary.GetExport(_library, "nvmlDeviceGetHandleByIndex_v2"))(
                (uint)index,
                &handle
            )
        );
        return handle;
    }

    string Text(string function, nint handle)
    {
        var buffer = stackalloc byte[NameLength];
        Check(
            function,
            ((delegate* unmanaged<nint, byte*, uint, int>)NativeLibrary.GetExport(_library, function))(
                handle,
                buffer,
                NameLength
            )
        );
        return Marshal.PtrToStringUTF8((nint)buffer) ?? "";
    }

    /// <summary>By the second version of the call, which drivers from 510 on have; before, what is reserved is not
    /// told.</summary>
    (long Total, long Reserved, long Used) Memory(nint handle)
    {
        if (NativeLibrary.TryGetExport(_library, "nvmlDeviceGetMemoryInfo_v2", out var v2))
        {
            var memory = new MemoryV2 { Version = (uint)sizeof(MemoryV2) | 2 << 24 };
            if (((delegate* unmanaged<nint, MemoryV2*, int>)v2)(handle, &memory) == 0)
                return ((long)memory.Total, (long)memory.Reserved, (long)memory.Used);
        }
        MemoryV1 first;
        Check(
            "nvmlDeviceGetMemoryInfo",
            ((delegate* unmanaged<nint, MemoryV1*, int>)NativeLibrary.GetExport(_library, "nvmlDeviceGetMemoryInfo"))(
                handle,
                &first
            )
        );
        return ((long)first.Total, 0, (long)first.Used);
    }

    void Check(string call, int result)
    {
        if (result != 0)
            throw new NvmlException($"{call}: {Marshal.PtrToStringUTF8((nint)_errorString(result))} ({result})");
    }

    /// <summary>nvmlProcessUtilizationSample_t.</summary>
    [StructLayout(LayoutKind.Sequential)]
    struct UtilizationSample
    {
        public uint Pid;
        public ulong Timestamp;
        public uint Multiprocessors,
            Memory,
            Encoder,
            Decoder;
    }

    [StructLayout(LayoutKind.Sequential)]
    struct MemoryV1
    {
        public ulong Total,
            Free,
            Used;
    }

    [StructLayout(LayoutKind.Sequential)]
    struct MemoryV2
    {
        public uint Version;
        public ulong Total,
            Reserved,
            Free,
            Used;
    }
}
