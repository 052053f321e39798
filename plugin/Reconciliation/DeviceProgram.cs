// SPDX-License-Identifier: Apache-2.0
using System.Buffers.Binary;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>A program that decides about device nodes for a control group of version 2, in the kernel's instructions
/// (linux/bpf.h). It is run here as the kernel runs it, for the instructions of which runc, crun and systemd make
/// theirs: loads of the question, arithmetic, jumps.</summary>
static class DeviceProgram
{
    /// <summary>Of a question (struct bpf_cgroup_dev_ctx).</summary>
    public const uint Character = 2,
        ReadWrite = 2 | 4;
    const int InstructionBytes = 8,
        MaxSteps = 100_000;

    /// <summary>Where the question lies, to the program.</summary>
    const ulong Question = 1UL << 32;

    // Instruction classes, and what is in an operation's code beside its class.
    const int Load = 1,
        Barrier = 0xc0,
        Arithmetic32 = 4,
        Jump = 5,
        Jump32 = 6,
        Arithmetic64 = 7,
        FromRegister = 8;

    /// <summary>Whether the program lets a character node be read and written.</summary>
    /// <returns>Null where it has other instructions.</returns>
    /// <param name="code">Its instructions.</param>
    /// <param name="major">Of a character node that is to be read and written.</param>
    /// <param name="minor">As the major number.</param>
    public static bool? Allows(ReadOnlySpan<byte> code, uint major, uint minor)
    {
        Span<byte> question = stackalloc byte[12];
        BinaryPrimitives.WriteUInt32LittleEndian(question, ReadWrite << 16 | Character);
        BinaryPrimitives.WriteUInt32LittleEndian(question[4..], major);
        BinaryPrimitives.WriteUInt32LittleEndian(question[8..], minor);
        Span<ulong> registers = stackalloc ulong[16];
        registers.Clear();
        registers[1] = Question;
        var at = 0;
        for (var step = 0; step < MaxSteps && at >= 0 && (at + 1) * InstructionBytes <= code.Length; step++)
        {
            var one = code.Slice(at++ * InstructionBytes, InstructionBytes);
            int operation = one[0];
            ref var target = ref registers[one[1] & 15];
            var source = registers[one[1] >> 4];
            var offset = BinaryPrimitives.ReadInt16LittleEndian(one[2..]);
            var number = BinaryPrimitives.ReadInt32LittleEndian(one[4..]);
            var operand = (operation & FromRegister) != 0 ? source : (ulong)(long)number;
            switch (operation & 7)
            {
                case Load when Read(question, source + (ulong)(long)offset, operation & 0xf8) is { } value:
                    target = value;
                    break;
                case 2 when operation == Barrier: // against speculation
                    break;
                case Arithmetic32 when Calculate(operation, (uint)target, (uint)operand) is { } value:
                    target = (uint)value;
                    break;
                case Arithmetic64 when Calculate(operation, target, operand) is { } value:
                    target = value;
                    break;
                case Jump when operation == 0x95:
                    return (uint)registers[0] != 0;
                case Jump when Jumps(operation, target, operand) is { } jumps:
                    at += jumps ? offset : 0;
                    break;
                case Jump32 when Jumps(operation, (uint)target, (uint)operand) is { } jumps:
                    at += jumps ? offset : 0;
                    break;
                default:
                    return null;
            }
        }
        return null;
    }

    static ulong? Read(ReadOnlySpan<byte> question, ulong address, int size)
    {
        var bytes = size switch
        {
            0x60 => 4,
            0x68 => 2,
            0x70 => 1,
            _ => int.MaxValue,
        };
        var offset = address - Question;
        if (offset > (ulong)question.Length || (ulong)bytes > (ulong)question.Length - offset)
            return null;
        var value = 0UL;
        for (var n = bytes - 1; n >= 0; n--)
            value = value << 8 | question[(int)offset + n];
        return value;
    }

    /// <summary>The upper bits of a 32-bit operation are of no matter.</summary>
    static ulong? Calculate(int operation, ulong left, ulong right) =>
        (operation & 0xf0) switch
        {
            0x00 => left + right,
            0x10 => left - right,
            0x40 => left | right,
            0x50 => left & right,
            0x60 => left << (int)(right & 63),
            0x70 => left >> (int)(right & 63),
            0xa0 => left ^ right,
            0xb0 => right,
            _ => null,
        };

    static bool? Jumps(int operation, ulong left, ulong right) =>
        (operation & 0xf0) switch
        {
            0x00 => true,
            0x10 => left == right,
            0x20 => left > right,
            0x30 => left >= right,
            0x40 => (left & right) != 0,
            0x50 => left != right,
            0xa0 => left < right,
            0xb0 => left <= right,
            _ => null,
        };
}
