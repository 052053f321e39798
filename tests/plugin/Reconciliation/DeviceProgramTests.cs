// SPDX-License-Identifier: Apache-2.0
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using NUnit.Framework;
using Runai.GpuMemory.Reconciliation;
using Runai.GpuMemory.Tests.Volumes;

namespace Runai.GpuMemory.Tests.Reconciliation;

/// <summary>Device rules of control groups of version 2. The programs are made as runc and systemd make
/// theirs.</summary>
sealed unsafe partial class DeviceProgramTests
{
    const uint Gpu = 195;

    static byte[] One(byte operation, int target, int source = 0, short offset = 0, int number = 0)
    {
        var one = new byte[8];
        (one[0], one[1]) = (operation, (byte)(source << 4 | target));
        BinaryPrimitives.WriteInt16LittleEndian(one.AsSpan(2), offset);
        BinaryPrimitives.WriteInt32LittleEndian(one.AsSpan(4), number);
        return one;
    }

    static byte[] Number(byte operation, int target, int number) => One(operation, target, number: number);

    static byte[][] Answer(bool isAllowed) => [Number(0xb7, 0, isAllowed ? 1 : 0), Number(0x95, 0, 0)];

    /// <summary>Allows character nodes of this number; null: any.</summary>
    static byte[][] Allow(uint major, uint? minor = null, int access = 7)
    {
        byte[][] rest = [.. minor is null ? [] : (byte[][])[Number(0x55, 5, (int)minor)], .. Answer(true)];
        byte[][] tests =
        [
            Number(0x55, 2, 2),
            One(0xbc, 1, 3),
            Number(0x54, 1, access),
            One(0x5d, 1, 3),
            Number(0x55, 4, (int)major),
        ];
        byte[][] all = [.. tests, .. rest];
        for (var at = 0; at < all.Length; at++)
            if (all[at][0] is 0x55 or 0x5d)
                BinaryPrimitives.WriteInt16LittleEndian(all[at].AsSpan(2), (short)(all.Length - at - 1));
        return all;
    }

    static byte[] Program(params byte[][][] rules) =>
        [
            .. new[]
            {
                One(0x61, 2, 1),
                Number(0x54, 2, 0xffff),
                One(0x61, 3, 1),
                Number(0x74, 3, 16),
                One(0x61, 4, 1, 4),
                One(0x61, 5, 1, 8),
            }
                .Concat(rules.SelectMany(rule => rule))
                .Concat(Answer(false))
                .SelectMany(one => one),
        ];

    static readonly byte[] Ordinary = Program(Allow(1, 3), Allow(136)),
        WithGpu = Program(Allow(1, 3), Allow(Gpu, 0), Allow(Gpu, 255), Allow(136)),
        ReadOnly = Program(Allow(Gpu, access: 3));

    [Test]
    public void A_program_says_which_nodes_it_allows()
    {
        Assert.That(DeviceProgram.Allows(WithGpu, Gpu, 0), Is.True);
        Assert.That(DeviceProgram.Allows(WithGpu, Gpu, 255), Is.True);
        Assert.That(DeviceProgram.Allows(WithGpu, Gpu, 1), Is.False);
        Assert.That(DeviceProgram.Allows(WithGpu, 136, 7), Is.True);
        Assert.That(DeviceProgram.Allows(Ordinary, Gpu, 0), Is.False);
        Assert.That(DeviceProgram.Allows(ReadOnly, Gpu, 0), Is.False);
    }

    [Test]
    public void What_is_no_program_of_that_kind_says_nothing()
    {
        Assert.That(DeviceProgram.Allows([], Gpu, 0), Is.Null);
        Assert.That(DeviceProgram.Allows(One(0x05, 0, offset: -1), Gpu, 0), Is.Null, "it never ends");
        Assert.That(DeviceProgram.Allows(One(0x85, 0), Gpu, 0), Is.Null, "it calls the kernel");
        Assert.That(DeviceProgram.Allows(One(0x61, 0, 1, 12), Gpu, 0), Is.Null, "it reads beyond the question");
        var random = new Random(1);
        for (var n = 0; n < 2000; n++)
        {
            var code = WithGpu.ToArray();
            for (var k = 0; k < 3; k++)
                code[random.Next(code.Length)] = (byte)random.Next(256);
            Assert.That(() => DeviceProgram.Allows(code, Gpu, 0), Throws.Nothing);
        }
    }

    /// <summary>A group of this host's; what the plugin finds is what a process in it finds.</summary>
    [Test]
    public void The_kernels_own_answer_is_the_same()
    {
        var folder = Directory.CreateTempSubdirectory("groups").FullName;
        var group = $"{folder}/tree/runai-test-{Environment.ProcessId}";
        try
        {
            Assert.That(
                Sh.Run($"mkdir {folder}/tree && mount -t cgroup2 none {folder}/tree && mkdir {group} {group}/inner"),
                Is.EqualTo((0, ""))
            );
            Assert.That(Sh.Run($"mknod {folder}/node c 195 0"), Is.EqualTo((0, "")));
            string Open() => Sh.Run($"echo $$ >{group}/inner/cgroup.procs; exec 3<>{folder}/node").Output;
            bool? Found() => DeviceRules.InPrograms(group + "/inner");
            Assert.That((Found(), Open()), Is.EqualTo((true, Open())), "without a program everything is allowed");
            Assert.That(Open(), Does.Contain("No such device"), "the host has no driver");
            using (var ordinary = Attach(group, Ordinary))
                Assert.That(
                    (Found(), Open().Contains("not permitted")),
                    Is.EqualTo((false, true)),
                    "that of the group above"
                );
            using (var gpu = Attach(group, WithGpu))
                Assert.That((Found(), Open().Contains("No such device")), Is.EqualTo((true, true)));
            using (var gpu = Attach(group, WithGpu))
            using (var ordinary = Attach(group, Ordinary))
                Assert.That((Found(), Open().Contains("not permitted")), Is.EqualTo((false, true)), "all have a say");
        }
        finally
        {
            Sh.Run($"rmdir {group}/inner {group}; umount {folder}/tree; rm -rf --one-file-system {folder}");
        }
    }

    [Test]
    public void The_tree_of_the_plugins_own_shows_all_groups()
    {
        var folder = Directory.CreateTempSubdirectory("groups").FullName;
        try
        {
            var tree = new ControlGroupTree(folder + "/own");
            Assert.That(tree.Find(""), Is.EqualTo(folder + "/own/unified"));
            Assert.That(File.Exists(tree.Find("") + "/cgroup.procs"));
            Assert.That(tree.Find("no-such-controller"), Is.Null);
        }
        finally
        {
            Sh.Run($"umount {folder}/own/unified; rm -rf --one-file-system {folder}");
        }
    }

    /// <summary>Until it is disposed, which takes it from the group.</summary>
    static Attached Attach(string group, byte[] code)
    {
        using var folder = new SafeFileHandle(Open(group, 0x80000), ownsHandle: true);
        fixed (
            byte* instructions = code,
                licence = "GPL\0"u8
        )
        {
            var load = new Load
            {
                Type = 15,
                Count = (uint)code.Length / 8,
                Code = (ulong)instructions,
                Licence = (ulong)licence,
            };
            var program = new SafeFileHandle((nint)Bpf(Number(), 5, &load, sizeof(Load)), ownsHandle: true);
            Assert.That(program.IsInvalid, Is.False, "the kernel takes the program");
            var attached = new Attached(group, program);
            attached.Call(8);
            return attached;
        }
    }

    static nint Number() => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 280 : 321;

    sealed class Attached(string group, SafeFileHandle program) : IDisposable
    {
        public void Call(int command)
        {
            using var folder = new SafeFileHandle(Open(group, 0x80000), ownsHandle: true);
            var attach = new Attachment
            {
                Target = (uint)folder.DangerousGetHandle(),
                Program = (uint)program.DangerousGetHandle(),
                Type = 6,
                Flags = command == 8 ? 2U : 0,
            };
            Assert.That(
                Bpf(Number(), command, &attach, sizeof(Attachment)),
                Is.Zero,
                $"{Marshal.GetLastPInvokeError()}"
            );
        }

        public void Dispose()
        {
            Call(9);
            program.Dispose();
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    struct Load
    {
        public uint Type,
            Count;
        public ulong Code,
            Licence;
        public uint LogLevel,
            LogSize;
        public ulong Log;
        public uint Kernel,
            Flags;
    }

    [StructLayout(LayoutKind.Sequential)]
    struct Attachment
    {
        public uint Target,
            Program,
            Type,
            Flags;
    }

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long Bpf(nint number, long command, void* arguments, long size);

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);
}
