// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Runai.GpuMemory.Hosting;

/// <summary>A static constructor that finds no memory has failed for good: each later use of its type throws. So all
/// run at the start, while there is memory.</summary>
static partial class StaticState
{
    /// <summary>Runs the static constructor of every type that has one.</summary>
    /// <returns>How many types there are. A native program knows those alone that the project keeps
    /// (<c>TrimmerRootAssembly</c>).</returns>
    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "The project keeps the whole assembly.")]
    [UnconditionalSuppressMessage("Trimming", "IL2059", Justification = "The same.")]
    public static int Initialize()
    {
        var types = typeof(StaticState).Assembly.GetTypes().Where(type => !type.ContainsGenericParameters).ToArray();
        foreach (var type in types)
            RuntimeHelpers.RunClassConstructor(type.TypeHandle);
        return types.Length;
    }

    /// <summary>Whether a type of a library has failed so: nothing but a new process mends that.</summary>
    public static bool IsLost(Exception e) =>
        e is TypeInitializationException { InnerException: { } cause }
        && (cause is OutOfMemoryException || IsLost(cause));

    /// <summary>Logs what <see cref="Initialize"/> returned: it runs before there is a log.</summary>
    [LoggerMessage(2, LogLevel.Debug, "the static state of {Types} types is there")]
    public static partial void LogInitialized(ILogger logger, int types);
}
