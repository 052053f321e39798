// SPDX-License-Identifier: Apache-2.0
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>The device programs that count for a control group of version 2, by bpf(2): it returns a number of its own,
/// or -1 with errno. Older kernels want <c>CAP_NET_ADMIN</c> for it; on 6.18 <c>CAP_SYS_ADMIN</c> does
/// (seen).</summary>
static unsafe partial class DevicePrograms
{
    const int GetProgram = 13,
        GetInfo = 15,
        Query = 16;
    const uint OfDevices = 6, // BPF_CGROUP_DEVICE
        WithInherited = 1; // BPF_F_QUERY_EFFECTIVE
    const int MaxPrograms = 64,
        MaxCode = 1 << 20;

    static readonly nint Number = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 280 : 321;

    /// <summary>The code of each; a node is allowed where all allow it. Null where the kernel does not show
    /// them.</summary>
    /// <param name="group">The group's folder.</param>
    public static IReadOnlyList<byte[]>? Of(string group)
    {
        using var folder = OpenFolder(group);
        if (folder.IsInvalid)
            return null;
        var ids = stackalloc uint[MaxPrograms];
        var query = new QueryArguments
        {
            Target = (uint)folder.DangerousGetHandle(),
            Type = OfDevices,
            Flags = WithInherited,
            Ids = (ulong)ids,
            Count = MaxPrograms,
        };
        if (Bpf(Number, Query, &query, sizeof(QueryArguments)) < 0)
            return null;
        var found = new List<byte[]>();
        for (var n = 0; n < query.Count; n++)
        {
            if (CodeOf(ids[n]) is not { } code)
                return null;
            found.Add(code);
        }
        return found;
    }

    static byte[]? CodeOf(uint id)
    {
        var get = new GetArguments { Id = id };
        using var program = new SafeFileHandle((nint)Bpf(Number, GetProgram, &get, sizeof(GetArguments)), true);
        if (program.IsInvalid)
            return null;
        var info = new ProgramInfo();
        if (!Fill(program, &info) || info.CodeLength is 0 or > MaxCode)
            return null;
        var code = new byte[info.CodeLength];
        fixed (byte* first = code)
        {
            info = new() { CodeLength = (uint)code.Length, Code = (ulong)first };
            return Fill(program, &info) && info.Code != 0 && info.CodeLength == code.Length ? code : null;
        }
    }

    static bool Fill(SafeFileHandle program, ProgramInfo* info)
    {
        var arguments = new InfoArguments
        {
            Program = (uint)program.DangerousGetHandle(),
            Length = (uint)sizeof(ProgramInfo),
            Info = (ulong)info,
        };
        return Bpf(Number, GetInfo, &arguments, sizeof(InfoArguments)) == 0;
    }

    static SafeFileHandle OpenFolder(string path)
    {
        const int ReadOnly = 0,
            CloseOnExec = 0x80000;
        return new(Open(path, ReadOnly | CloseOnExec), ownsHandle: true);
    }

    [StructLayout(LayoutKind.Sequential)]
    struct QueryArguments
    {
        public uint Target,
            Type,
            Flags,
            AttachFlags;
        public ulong Ids;
        public uint Count,
            Unused;
    }

    [StructLayout(LayoutKind.Sequential)]
    struct GetArguments
    {
        public uint Id,
            Next,
            Flags,
            Unused;
    }

    [StructLayout(LayoutKind.Sequential)]
    struct InfoArguments
    {
        public uint Program,
            Length;
        public ulong Info;
    }

    /// <summary>The beginning of struct bpf_prog_info.</summary>
    [StructLayout(LayoutKind.Sequential)]
    struct ProgramInfo
    {
        public uint Type,
            Id;
        public ulong Tag;
        public uint MachineLength,
            CodeLength;
        public ulong Machine,
            Code;
    }

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long Bpf(nint number, long command, void* arguments, long size);

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);
}
