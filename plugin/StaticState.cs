using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Runai.GpuMemory;

/// <summary>A static constructor that finds no memory has failed for good: each later use of its type throws. So all run at the start, while there is memory.</summary>
static class StaticState
{
    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "What was trimmed away has nothing to initialize.")]
    [UnconditionalSuppressMessage("Trimming", "IL2059", Justification = "The same.")]
    public static void Initialize()
    {
        foreach (var type in typeof(StaticState).Assembly.GetTypes())
            if (!type.ContainsGenericParameters)
                RuntimeHelpers.RunClassConstructor(type.TypeHandle);
    }

    /// <summary>Whether a type of somebody else's has failed so: nothing but a new process mends that.</summary>
    public static bool IsLost(Exception failure) => failure is TypeInitializationException { InnerException: { } cause } && (cause is OutOfMemoryException || IsLost(cause));
}
