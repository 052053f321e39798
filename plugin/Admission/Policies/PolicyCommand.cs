// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Policies;

/// <summary><c>runai-gpu-memory policy check FILE</c>: says all that is wrong with a policy file before it is put in
/// place.</summary>
static class PolicyCommand
{
    /// <summary>Needs no engine and runs on the host too. Writes what it finds to <paramref name="output"/>; a wrong
    /// call or a file that cannot be read to <paramref name="error"/>.</summary>
    /// <returns>0: the file is a policy. 1: it is none, and each problem is a line. 2: not asked rightly.</returns>
    public static int Run(ReadOnlySpan<string> arguments, TextWriter output, TextWriter error)
    {
        if (arguments is not ["check", var path])
        {
            error.WriteLine("usage: runai-gpu-memory policy check FILE");
            return 2;
        }
        try
        {
            return Check(path, output);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            error.WriteLine(e.Message);
            return 2;
        }
    }

    static int Check(string path, TextWriter output)
    {
        var (policy, problems) = PolicyReader.Read(File.ReadAllBytes(path));
        foreach (var problem in problems)
            output.WriteLine($"{path}:{problem.Line}: {problem.Text}");
        if (policy is null)
            return 1;
        output.WriteLine($"{path}: a policy");
        foreach (var (key, value) in PolicyText.Of(policy, Requester.Engine))
            output.WriteLine($"  {key, -20} {value}");
        return 0;
    }
}
