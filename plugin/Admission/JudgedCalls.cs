using System.Globalization;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission;

/// <summary>Counts the calls that are being judged. Each takes memory while the engine is asked, and about a container that hangs the engine does not answer for as long as the plugin waits: who calls
/// for it ever so often leaves room for calls for others, and by others.</summary>
sealed class JudgedCalls
{
    public const int MostOfContainer = 50, MostOfCaller = 600, Most = 1000;

    readonly Lock _lock = new();
    readonly Dictionary<(bool IsCaller, string Name), int> _counts = [];
    int _all;

    /// <summary>Takes a place.</summary>
    /// <param name="container">As the call names it; empty where it names none.</param>
    /// <param name="caller">The TLS name.</param>
    /// <param name="problem">For the caller, where there is no place.</param>
    /// <returns>To be disposed when the call is judged; null where there is no place.</returns>
    public IDisposable? TryEnter(string container, string caller, out string problem)
    {
        var (ofContainer, ofCaller) = ((false, KeyOf(container)), (true, caller));
        lock (_lock)
        {
            problem = container.Length > 0 && _counts.GetValueOrDefault(ofContainer) >= MostOfContainer
                ? Busy(MostOfContainer, $"calls for {Quoted.Text(container)} wait for the engine: try again when it has answered, and if it does not, look at what holds the container (the engine's log)")
                : _counts.GetValueOrDefault(ofCaller) >= MostOfCaller ? Busy(MostOfCaller, "of your calls wait for the engine: try again when it has answered")
                : _all >= Most ? Busy(Most, "calls wait for the engine: try again when it has answered") : "";
            if (problem.Length > 0)
                return null;
            Add(ofContainer, 1);
            Add(ofCaller, 1);
            _all++;
        }
        return new Place(this, ofContainer, ofCaller);
    }

    static string Busy(int count, string what) => string.Create(CultureInfo.InvariantCulture, $"{count} {what}");

    /// <summary>The longer parts of an ID are many names of one container. Where containers are called so and the names begin alike, they share their room. What is shorter counts as a name.</summary>
    static string KeyOf(string name) =>
        ContainerNames.IsLikeId(name) ? name[..ContainerNames.ShortId] : name;

    void Leave((bool, string) container, (bool, string) caller)
    {
        lock (_lock)
        {
            Add(container, -1);
            Add(caller, -1);
            _all--;
        }
    }

    void Add((bool, string) key, int more)
    {
        var count = _counts.GetValueOrDefault(key) + more;
        if (count > 0)
            _counts[key] = count;
        else
            _counts.Remove(key);
    }

    sealed class Place(JudgedCalls calls, (bool, string) container, (bool, string) caller) : IDisposable
    {
        int _isLeft;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _isLeft, 1) == 0)
                calls.Leave(container, caller);
        }
    }
}
