// SPDX-License-Identifier: Apache-2.0
using System.Runtime.InteropServices;
using System.Text;
using Runai.GpuMemory.Cli.Common;

namespace Runai.GpuMemory.Cli.Docker;

/// <summary>Standard output and error, a text a write. Console would set the keypad of the terminal to another mode,
/// and leave it there.</summary>
sealed unsafe class Standard : TextWriter
{
    readonly int _file;

    Standard(int file) => _file = file;

    /// <summary>Standard output.</summary>
    public static Standard Output { get; } = new(1);

    /// <summary>Standard error.</summary>
    public static Standard Error { get; } = new(2);

    public override Encoding Encoding => Encoding.UTF8;

    public override void Write(char value) => Write([value]);

    public override void Write(string? value) => Write(value.AsSpan());

    public override void Write(char[] buffer, int index, int count) => Write(buffer.AsSpan(index, count));

    /// <exception cref="UserException">It cannot be written.</exception>
    public override void Write(ReadOnlySpan<char> buffer)
    {
        var bytes = new byte[Encoding.UTF8.GetByteCount(buffer)];
        Encoding.UTF8.GetBytes(buffer, bytes);
        fixed (byte* all = bytes)
        {
            for (var done = 0; done < bytes.Length; )
            {
                var count = Libc.Write(_file, all + done, (nuint)(bytes.Length - done));
                done += (int)Math.Max(0, count);
                if (count >= 0)
                    continue;
                var reason = Marshal.GetLastPInvokeError();
                if (reason is not (Libc.Interrupted or Libc.WouldBlock))
                    throw new UserException($"the output cannot be written: {Marshal.GetPInvokeErrorMessage(reason)}");
                Thread.Sleep(1);
            }
        }
    }
}
